"""Profiles of the rows' activity that follow a network while it is trained."""

import re

import jax
from flax import nnx
from jaxtyping import Array, Float

from jaxaimc import nn, tile
from jaxaimc.nn import AnalogDot, Call, Hook
from jaxaimc.nn.walk import analog_products

# Input vectors of a layer that are looked at in a step.
_AT_MOST = 256


class TrackedActivity(Hook):
    """Lets a layer's profile of its rows' activity follow the inputs, as batch normalisation does with its means.

    Args:
        dot: Product of the layer, which has a profile.
        momentum: Weight of the profile so far, in [0, 1) [1].

    Of more than 512 vectors some are left out, the same in every step. The windows of a convolution are held at once
    for it: a profile cannot be changed in a loop over parts of them.
    """

    def __init__(self, dot: AnalogDot, momentum: float):
        # The layer's own variable.
        self.profile = dot.profile
        self.momentum = momentum

    def after(self, call: Call, outputs: Float[Array, "*batch n_out"]) -> Float[Array, "*batch n_out"]:
        """Look at the inputs and change nothing of the outputs."""
        assert self.profile is not None
        vectors = jax.lax.stop_gradient(call.inputs).reshape(-1, call.inputs.shape[-1])
        # Evenly among them: a mean over time needs no more of a step.
        vectors = vectors[:: max(1, len(vectors) // _AT_MOST)]
        own = tile.activity_profile(call.config, vectors, call.prepared.groups)
        kept = self.profile.get_value()
        if kept.shape != own.shape:  # of other wires or drives, which is not used either
            return outputs
        self.profile.set_value(self.momentum * kept + (1 - self.momentum) * own.astype(kept.dtype))
        return outputs


def with_tracked_activity(model: nnx.Module, momentum: float) -> nnx.Module:
    """Let the profiles of a model follow what its layers get.

    Args:
        model: Converted model; its layers share their profiles with the result.
        momentum: Weight of a profile so far, in [0, 1) [1]; with zero it is that of the last batch.

    Returns:
        The model, whose calls change the profiles of layers that have one.
    """
    known = [dot.path for dot in analog_products(model) if dot.profile is not None]
    if not known:
        return model
    return nn.attach(model, lambda dot: TrackedActivity(dot, momentum), pattern="|".join(map(re.escape, known)))
