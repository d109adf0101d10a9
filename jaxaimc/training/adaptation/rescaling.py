"""Rescaling between the inputs and the weights of a layer, which changes nothing digitally and much on a tile.

    y = x W = (x / s) (s W),    s_j = max|x_j|^strength / max|W_j|^(1 - strength)

Row j of a tile is driven by input j. A few inputs far larger than the rest stretch the range of the drive, so that the
rest gets few of its steps and gives small charges; divided by a scale of their own all inputs use the range, and the
rows' weights carry what they lost. Weights pay for it: rows of larger weights stretch the conductance range of their
columns. `strength` says how much goes from the inputs to the weights.

Sources: the equation is that of SmoothQuant (Xiao et al. 2023, arXiv 2211.10438, equation 4), for analog tiles and with
the exponent chosen by the effect of noise NORA (*NORA: Noise-Optimized Rescaling of LLMs on Analog Compute-in-Memory
Accelerators*, DATE 2025). Both scale by data; here the scales of a layer are multiplied by one number besides, so that
its largest input stays as large as it was and a range that the drive has already still fits.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float

from jaxaimc._core.checks import check_number
from jaxaimc.nn import AnalogDot
from jaxaimc.nn.hooks import WatchedProduct, as_digital, refuse_stack, replace_products
from jaxaimc.nn.hosts.base import Layout, Parts
from jaxaimc.nn.walk import changed_layers, matching, modules
from jaxaimc.training.adaptation.rescaled_host import RescaledHost, ScaleCheck

# Of the largest output: what folding scales into a normalisation may change by rounding.
_ROUNDING = 1e-3


def rescale(
    model: nnx.Module,
    inputs: Any,
    *,
    strength: float = 0.5,
    pattern: str = ".*",
    norms: Mapping[str, Sequence[str]] | None = None,
) -> nnx.Module:
    """Rescale the inputs of analog layers against their weights.

    The digital network stays what it is: exactly, and only the tiles hold other matrices; or to rounding, for
    layers behind a normalisation whose scale and bias take the division over. An input that is always zero, or that
    no weight uses, keeps its scale, and so does the constant input of a row that holds the bias. A row is an input
    feature of a linear layer; of a convolution it is a place of the window and a channel.

    Args:
        model: Result of `jaxaimc.nn.convert`, not programmed. It is not changed.
        inputs: Examples as the model takes them, a few dozen.
        strength: How far the inputs are evened out, 0 to 1: at 1 the largest values of all inputs become equal, at 0
            the largest weights of all rows.
        pattern: Regular expression that the whole path of a layer must match.
        norms: Paths of normalisations (`nnx.LayerNorm`, `nnx.RMSNorm` and the like, which have a `scale`), each with
            the paths of all that it feeds: matching layers, which get one scale in common. The division then costs
            nothing, and their kernels change.

    Returns:
        The model. What else is done with it (`program`, `calibrate`, noise on weights, adapters) sees the tile's
        weights and inputs.

    Raises:
        ValueError: If no layer matches, one that does is a stack or programmed, or not reached by the inputs or gets
            some that are not finite; `strength` is out of range; `norms` names what is not there or does not fit, or a
            normalisation feeds more than the layers that are named.

    Example:
        >>> from jaxaimc import AnalogConfig, nn
        >>> model = nn.convert(nnx.Linear(3, 2, rngs=nnx.Rngs(0)), AnalogConfig())
        >>> x = jnp.array([[100.0, 1.0, 1.0], [-20.0, 0.5, 0.9]])
        >>> rescaled = rescale(model, x, strength=1.0)
        >>> print(x / jnp.array(rescaled.dot_general.host.scale))
        [[100. 100. 100.]
         [-20.  50.  90.]]
    """
    check_number("rescale", "strength", strength, low=0.0, high=1.0)
    layers = matching(model, pattern)
    for dot in layers:
        refuse_stack(dot, "be rescaled")
        if dot.prepared is not None:
            raise ValueError(
                f"Layer {dot.path!r} is on a chip that was programmed with the weights as they are; take it off "
                "(`jaxaimc.nn.without_chip(model)`), rescale, and program the model again."
            )
    chosen = [dot.path for dot in layers]
    groups = {norm: tuple(paths) for norm, paths in (norms or {}).items()}
    folded = {path for paths in groups.values() for path in paths}
    _check_groups(model, chosen, groups)
    for dot in layers:
        if dot.path in folded and dot.host.constant is not None:
            raise ValueError(
                f"Argument `norms` must name layers whose bias is digital, but {dot.path!r} has a row of its tile for "
                "it, with a constant input that comes from no normalisation."
            )
    peaks = _peaks(model, inputs, chosen)
    scales = {path: _scales(*peaks[path], strength) for path in chosen if path not in folded}
    for paths in groups.values():
        together = _scales(peaks[paths[0]][0], np.maximum.reduce([peaks[path][1] for path in paths]), strength)
        scales.update(dict.fromkeys(paths, together))

    def one(layer: Any, dot: AnalogDot) -> None:
        if dot.path in scales:
            host = RescaledHost(dot.host, tuple(scales[dot.path].tolist()))
            if dot.path in folded:
                dot.host.with_kernel(layer, host.kernel(layer))
            else:
                dot.host = host
                dot.hooks = nnx.List([ScaleCheck(dot.path, host.scale), *dot.hooks])

    rescaled = changed_layers(model, one)
    if groups:
        norm_of = dict(modules(rescaled))
        for norm, paths in groups.items():
            _divide(norm, norm_of[norm], scales[paths[0]])
        _check_unchanged(model, rescaled, inputs)
    return rescaled


def _scales(
    inputs: Float[np.ndarray, " n_in"], weights: Float[np.ndarray, " n_in"], strength: float
) -> Float[np.ndarray, " n_in"]:
    used = (inputs > 0) & (weights > 0)
    inputs, weights = (np.where(used, peak, 1.0) for peak in (inputs, weights))
    scale = inputs**strength / weights ** (1 - strength)
    if not used.any():
        return np.ones_like(scale)
    scale *= np.max(inputs[used] / scale[used]) / np.max(inputs[used])
    # Single precision, in which the tile's weights are: what is divided by is what is multiplied with.
    return np.where(used, scale, 1.0).astype(np.float32)


def _peaks(model: nnx.Module, inputs: Any, paths: Sequence[str]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the largest magnitudes of each layer's inputs and of its rows of weights."""
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def note(path: str, layout: Layout, constant: float | None) -> None:
        vectors = layout.vectors
        if isinstance(vectors, Parts):
            parts = vectors
            vectors = parts.each(lambda index: _peak(parts.vectors(index)))
        if not vectors.size:
            raise ValueError(f"Argument `inputs` must give every layer inputs, but {path!r} gets none.")
        x = np.asarray(_peak(vectors), np.float64)
        if not np.isfinite(x).all():
            raise ValueError(f"Argument `inputs` must give every layer finite inputs, but those of {path!r} are not.")
        w = np.max(np.abs(np.asarray(layout.matrix, np.float64)), axis=-1)
        if constant is not None:
            # The row of the bias keeps its scale: its input is what the rule says.
            w[..., -1] = 0.0
        w = w.ravel()
        found[path] = (np.maximum(x, found[path][0]), w) if path in found else (x, w)

    watched: Any = replace_products(model, lambda dot: _Watch(dot, note))
    watched(inputs)
    for path in paths:
        if path not in found:
            raise ValueError(f"Argument `inputs` must reach every analog layer, but layer {path!r} was not called.")
    return found


def _peak(vectors: Float[Array, "*batch n_in"]) -> Float[Array, " n_in"]:
    return jnp.max(jnp.abs(vectors.reshape(-1, vectors.shape[-1])), axis=0)


class _Watch(WatchedProduct):
    """Notes what goes into it."""

    def __init__(self, dot: AnalogDot, note: Callable[[str, Layout, float | None], None]):
        super().__init__(dot)
        self.note = note

    def see(self, layout: Layout) -> None:
        self.note(self.path, layout, self.host.constant)


def _check_groups(model: nnx.Module, chosen: Sequence[str], groups: Mapping[str, Sequence[str]]) -> None:
    norms = dict(modules(model))
    for norm, paths in groups.items():
        if not isinstance(getattr(norms.get(norm), "scale", None), nnx.Param):
            raise ValueError(f"Argument `norms` must name normalisations that have a `scale`, but {norm!r} is none.")
        if not paths or not set(paths) <= set(chosen):
            raise ValueError(
                f"Argument `norms` must name layers that are rescaled behind {norm!r}, but names "
                f"{', '.join(sorted(set(paths) - set(chosen))) or 'none'}; rescaled are {', '.join(chosen)}."
            )
    every = [path for paths in groups.values() for path in paths]
    if len(every) != len(set(every)):
        raise ValueError("Argument `norms` must name each layer behind one normalisation, but names one more often.")


def _divide(path: str, norm: Any, scale: Float[np.ndarray, " n_in"]) -> None:
    for name in ("scale", "bias"):
        old = getattr(norm, name, None)
        if isinstance(old, nnx.Param):
            value = old.get_value()
            if value.shape != scale.shape:
                raise ValueError(
                    f"Argument `norms` must name normalisations of the {len(scale)} inputs of their layers, but "
                    f"{path!r} has {value.shape[-1]} features."
                )
            setattr(norm, name, old.replace(value / jnp.asarray(scale, value.dtype)))


def _check_unchanged(model: nnx.Module, rescaled: nnx.Module, inputs: Any) -> None:
    """Refuse scales in a normalisation that feeds more than the layers which undo them."""
    before, after = (np.asarray(_evaluated(network, inputs)) for network in (model, rescaled))
    difference, largest = np.max(np.abs(after - before)), np.max(np.abs(before))
    if not difference <= _ROUNDING * largest:
        raise ValueError(
            "Argument `norms` must name all layers that a normalisation feeds, but with the scales in the "
            f"normalisations the network's outputs change by {difference:.2g} (the largest is {largest:.2g})."
        )


def _evaluated(model: nnx.Module, inputs: Any) -> Array:
    network: Any = as_digital(model)
    network.eval()
    return network(inputs)
