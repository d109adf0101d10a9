"""Learned ranges around an analog product: the input that is driven at full scale, the charge that saturates the ADC.

Both are `nnx` hooks that hold one `DigitalParam`, which `fit` trains together with the parameters.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, cast

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from jaxaimc._core.checks import check_number
from jaxaimc._core.component import Component
from jaxaimc.adcs import Symmetric
from jaxaimc.config import AnalogConfig
from jaxaimc.drives import LearnedRange
from jaxaimc.nn import AnalogDot, DigitalParam, Hook
from jaxaimc.nn.hooks import WatchedProduct, attach, replace_products
from jaxaimc.nn.hosts.base import Layout
from jaxaimc.nn.walk import matching

# A range that a step would make zero or negative would stop the layer for ever.
SMALLEST = 1e-6


class TrainedInputRange(Hook):
    """A learned input range: inputs are clipped to it, and it is driven at full scale.

    The range is a `DigitalParam` of the layer, with the gradient that `jaxaimc.drives.LearnedRange` gives it: the rule
    of Rasch et al. 2023 (Nature Communications 14, 5282). Clipped inputs widen the range where that lowers the loss,
    and a decay narrows it slowly while hardly anything is clipped. It replaces whatever range the drive has.

    Args:
        limit: First range, in the unit of the inputs.
        decay: Strength of the decay [1].
        inside: Fraction of inputs inside the range above which it decays [1].

    Raises:
        ValueError: If a number is out of its range.
    """

    def __init__(self, limit: float | Array, *, decay: float = 1e-3, inside: float = 0.95):
        LearnedRange(limit=cast(float, limit), decay=decay, inside=inside).validate()
        self.limit = DigitalParam(jnp.asarray(limit, jnp.float32))
        self.decay = decay
        self.inside = inside

    def before(
        self, config: AnalogConfig, inputs: Float[Array, "*batch n_in"]
    ) -> tuple[AnalogConfig, Float[Array, "*batch n_in"]]:
        """Give the drive the learned range."""
        limit = cast(float, jnp.maximum(self.limit[...], SMALLEST))
        learned = LearnedRange(limit=limit, decay=self.decay, inside=self.inside)
        return replace(config, drive=config.drive.with_(range=learned)), inputs


class TrainedOutputRange(Hook):
    """A learned ADC range, symmetric about zero, with the exact gradient of the quantiser.

    The gradient is that of Esser et al. 2020 (arXiv 1902.08153), as `jaxaimc.adcs.Uniform` has it: saturated outputs
    pull the range, the others act by their rounding error.

    Args:
        limit: First range [fully driven cells].

    Raises:
        ValueError: If it is not greater than zero.
    """

    needs_vectors = False
    by_vector = True

    def __init__(self, limit: float | Array):
        check_number("TrainedOutputRange", "limit", limit, low=0.0, open_low=True)
        self.limit = DigitalParam(jnp.asarray(limit, jnp.float32))

    def before(
        self, config: AnalogConfig, inputs: Float[Array, "*batch n_in"]
    ) -> tuple[AnalogConfig, Float[Array, "*batch n_in"]]:
        """Saturate the ADC at the learned charge."""
        limit = jnp.maximum(self.limit[...], SMALLEST)
        return replace(config, adc=config.adc.with_(range=Symmetric(limit=cast(float, limit)))), inputs


class _MeanSquare(WatchedProduct):
    """Keeps the mean square of the inputs."""

    def __init__(self, dot: AnalogDot):
        super().__init__(dot)
        self.total = nnx.Variable(jnp.zeros(()))

    def see(self, layout: Layout) -> None:
        self.total.set_value(self.total.get_value() + jnp.mean(jnp.square(layout.every_vector)))


def learn_input_ranges(
    model: nnx.Module, batches: Iterable[Array], *, deviations: float = 3.0, decay: float = 1e-3, pattern: str = ".*"
) -> nnx.Module:
    """Give analog layers learned input ranges that start at a multiple of their inputs' root mean square.

    Rasch et al. 2023 start at three standard deviations, averaged over the first 100 batches; so do these, from batches
    that pass through the digital network before training starts.

    Args:
        model: Result of `jaxaimc.nn.convert`. It is not changed.
        batches: Inputs of the network.
        deviations: First range over the root mean square of the layer's inputs.
        decay: See `TrainedInputRange`.
        pattern: Regular expression that the whole path of a layer must match.

    Returns:
        The model with a `TrainedInputRange` on every matching layer.

    Raises:
        ValueError: If no layer matches, a matching layer's drive has no input range, or there is no batch.
    """
    for dot in matching(model, pattern):
        _require_range(dot, "drive", LearnedRange())
    graph, state = nnx.split(replace_products(model, _MeanSquare))

    @jax.jit
    def pass_through(state: Any, inputs: Array) -> Any:
        watched = nnx.merge(graph, state, copy=True)
        watched(inputs)
        return nnx.split(watched)[1]

    count = 0
    for inputs in batches:
        state = pass_through(state, inputs)
        count += 1
    if not count:
        raise ValueError("Argument `batches` must hold at least one batch, but holds none.")
    watched = nnx.merge(graph, state)
    squares = {m.path: m.total[...] / count for _, m in nnx.iter_modules(watched) if isinstance(m, _MeanSquare)}

    def make(dot: AnalogDot) -> Hook:
        mean = squares[dot.path]
        limit = jnp.where(mean > 0, deviations * jnp.sqrt(mean), 1.0)
        # A row that holds the bias starts unclipped.
        return TrainedInputRange(jnp.maximum(limit, dot.host.constant or 0.0), decay=decay)

    return attach(model, make, pattern=pattern)


def learn_output_ranges(
    model: nnx.Module, limit: float | Callable[[AnalogDot], float], *, pattern: str = ".*"
) -> nnx.Module:
    """Give analog layers learned ADC ranges.

    Args:
        model: Result of `jaxaimc.nn.convert`. It is not changed.
        limit: First range [fully driven cells], one for all or a function of the layer.
        pattern: Regular expression that the whole path of a layer must match.

    Returns:
        The model with a `TrainedOutputRange` on every matching layer.

    Raises:
        ValueError: If no layer matches, or a matching layer's ADC has no range.
    """

    def make(dot: AnalogDot) -> Hook:
        _require_range(dot, "adc", Symmetric(limit=1.0))
        return TrainedOutputRange(limit(dot) if callable(limit) else limit)

    return attach(model, make, pattern=pattern)


def _require_range(dot: AnalogDot, part: str, range: Component) -> None:
    component = getattr(dot.config.get_value(), part)
    if component.with_(range=range) is None:
        raise ValueError(
            f"Layer {dot.path!r} must have a field `range` in its `{part}`, but {type(component).__name__} has none."
        )
