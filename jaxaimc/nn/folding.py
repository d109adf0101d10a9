"""Batch normalisation folded into the layer before it, so that no digital scale is left behind a tile.

With running statistics, normalisation is the same scale and shift in every call, which a kernel and a bias can hold:

    gamma (x W + b - mean) / sqrt(var + epsilon) + beta  =  x (W s) + (b - mean) s + beta

with `s = gamma / sqrt(var + epsilon)`. Folded before `convert`, the scale of a channel is in the weights of its column
and its shift in the digital bias.
"""

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import jax
from flax import nnx
from jaxtyping import Array, Float

from jaxaimc._core.checks import shown
from jaxaimc.nn.walk import below, copied, modules, products_of

_FOLDABLE = (nnx.Linear, nnx.LinearGeneral, nnx.Conv, nnx.ConvTranspose)
_KERNEL_MADE_ANEW = (nnx.WeightNorm, nnx.SpectralNorm)


class FoldedNorm(nnx.Module):
    """What stands in the place of a normalisation that was folded into the layer before it: it changes nothing."""

    def __call__(
        self, x: Float[Array, "..."], use_running_average: bool | None = None, *, mask: Array | None = None
    ) -> Float[Array, "..."]:
        """Return the inputs.

        Args:
            x: Inputs.
            use_running_average: As `nnx.BatchNorm` takes it. Statistics of a batch cannot be had any more.
            mask: As `nnx.BatchNorm` takes it.

        Raises:
            ValueError: If statistics of the batch are asked for.
        """
        if use_running_average is False:
            raise ValueError(
                "Argument `use_running_average` must not be False for a batch normalisation that was folded into the "
                "layer before it with its running statistics; train before `jaxaimc.nn.fold_batch_norm`."
            )
        return x


def fold_batch_norm(model: nnx.Module, pairs: Iterable[Sequence[str]] | None = None) -> nnx.Module:
    """Fold batch normalisations, with their running statistics, into the layers before them.

    The folded model gives the outputs that the model gives in evaluation, to rounding. Its layers have a bias, and
    `FoldedNorm` stands where the normalisations were. Only what the model's code feeds from a layer straight into a
    normalisation, and nowhere else, may be folded: for pairs by path that is yours to know.

    Args:
        model: A digital model, before `convert`. It is not changed; the result shares all other parameters.
        pairs: Paths of layers and normalisations, `[("conv1", "norm1"), ...]`. Without them all neighbours in an
            `nnx.Sequential` are folded.

    Returns:
        The folded model.

    Raises:
        ValueError: If a path is not that of an `nnx.Linear`, `nnx.LinearGeneral`, `nnx.Conv` or `nnx.ConvTranspose`, or
            of an `nnx.BatchNorm` over its output channels, one of them is used in several places or in several pairs,
            a layer is on tiles already, or there is nothing to fold.

    Example:
        >>> rngs = nnx.Rngs(0)
        >>> model = nnx.Sequential(nnx.Conv(1, 4, (3, 3), rngs=rngs), nnx.BatchNorm(4, rngs=rngs), nnx.relu)
        >>> folded = fold_batch_norm(model)
        >>> [type(layer).__name__ for layer in folded.layers[:2]]
        ['Conv', 'FoldedNorm']
    """
    if not isinstance(model, nnx.Module):
        raise ValueError(f"Argument `model` must be a flax.nnx.Module, but is {shown(model)}.")
    found = dict(modules(model))
    chosen = _neighbours(found) if pairs is None else [_pair(pair) for pair in pairs]
    if not chosen:
        raise ValueError(
            "The model has nothing to fold: no `nnx.Sequential` of it has an `nnx.BatchNorm` behind a layer; name the "
            "layers by `pairs`."
            if pairs is None
            else "Argument `pairs` must name a layer, but is empty."
        )
    named = [path for pair in chosen for path in pair]
    for path in named:
        if named.count(path) > 1:
            raise ValueError(f"Argument `pairs` must name each module once, but names {path!r} several times.")
    for layer, norm in chosen:
        _check_layer(found, layer)
        _check_norm(found, norm, found[layer], layer)
    folded = copied(model)
    found = dict(modules(folded))
    for layer, norm in chosen:
        _fold(found[layer], found[norm])
        (holder, name) = _places(found, norm)[0]
        setattr(holder, name, FoldedNorm())
    return folded


def _fold(layer: Any, norm: Any) -> None:
    """Give a layer the kernel and bias that do what the normalisation behind it does."""
    factor = jax.lax.rsqrt(norm.var[...] + norm.epsilon)
    if norm.scale is not None:
        factor = factor * norm.scale[...]
    shift = -norm.mean[...] * factor
    if norm.bias is not None:
        shift = shift + norm.bias[...]
    kernel = layer.kernel
    scaled = kernel[...] * (factor[:, None] if _outputs_first(layer) else factor)
    layer.kernel = kernel.replace(scaled.astype(kernel[...].dtype))
    if layer.bias is None:
        layer.bias = nnx.Param(shift.astype(kernel[...].dtype))
        layer.use_bias = True
    else:
        layer.bias = layer.bias.replace((layer.bias[...] * factor + shift).astype(layer.bias[...].dtype))


def _neighbours(found: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the layers of all sequences that have a normalisation behind them, and these."""
    pairs = []
    path_of = {id(module): path for path, module in found.items()}
    for module in found.values():
        if type(module) is nnx.Sequential:
            layers = list(module.layers)
            for layer, norm in itertools.pairwise(layers):
                if isinstance(layer, _FOLDABLE) and isinstance(norm, nnx.BatchNorm):
                    pairs.append((path_of[id(layer)], path_of[id(norm)]))
    return pairs


def _pair(pair: Any) -> tuple[str, str]:
    if isinstance(pair, str) or not isinstance(pair, Sequence) or [type(path) for path in pair] != [str, str]:
        raise ValueError(
            "Argument `pairs` must hold pairs of paths, a layer's and that of the normalisation behind it, such as "
            f"('conv', 'norm'), but holds {shown(pair)}."
        )
    return pair[0], pair[1]


def _check_layer(found: dict[str, Any], path: str) -> None:
    layer = _single(found, path, _FOLDABLE, "an nnx.Linear, nnx.LinearGeneral, nnx.Conv or nnx.ConvTranspose")
    if products_of(layer):
        raise ValueError(f"Layer {path!r} is on tiles already; fold before `jaxaimc.nn.convert`.")
    for outer, module in found.items():
        if isinstance(module, _KERNEL_MADE_ANEW) and path.startswith(below(outer, "")):
            raise ValueError(
                f"Layer {path!r} gets its kernel from nnx.{type(module).__name__} in every call, which would undo what "
                "is folded; put a layer with the normalised kernel in the place of both."
            )
    columns = _columns(layer)
    if columns is None:
        raise ValueError(
            f"Layer {path!r} must have one axis of output channels and no stack of kernels, but has a kernel of shape "
            f"{layer.kernel.shape}."
        )


def _check_norm(found: dict[str, Any], path: str, layer: Any, layer_path: str) -> None:
    norm = _single(found, path, (nnx.BatchNorm,), "an nnx.BatchNorm")
    if norm.axis != -1:
        raise ValueError(f"Field `axis` of batch normalisation {path!r} must be -1 to be folded, but is {norm.axis!r}.")
    if norm.mean.shape != (_columns(layer),):
        raise ValueError(
            f"Batch normalisation {path!r} must have the {_columns(layer)} output channels of layer {layer_path!r}, "
            f"but has shape {norm.mean.shape}."
        )


def _single(found: dict[str, Any], path: str, kinds: tuple[type, ...], what: str) -> Any:
    """Return the module of a path, of some kind and held in one place only."""
    module = found.get(path)
    if not isinstance(module, kinds):
        given = "there is none" if module is None else f"it is a {type(module).__name__}"
        known = ", ".join(repr(other) for other, one in found.items() if isinstance(one, kinds)) or "none"
        raise ValueError(f"Path {path!r} must be that of {what}, but {given}; paths of such modules: {known}.")
    kernel = getattr(module, "kernel", None)
    sharing = [other for other, one in found.items() if kernel is not None and getattr(one, "kernel", None) is kernel]
    if len(_places(found, path)) != 1 or len(sharing) > 1:
        raise ValueError(
            f"Module {path!r} must be used in one place to be folded, but the model holds it, or its kernel, in "
            "several, or is itself it."
        )
    return module


def _places(found: dict[str, Any], path: str) -> list[tuple[Any, str]]:
    """Return the modules that hold a module, and the names of their attributes."""
    module = found[path]
    return [(holder, name) for holder in found.values() for name, value in vars(holder).items() if value is module]


def _columns(layer: Any) -> int | None:
    """Return the number of output channels, or None where there are several axes of them or the layer is a stack."""
    if isinstance(layer, nnx.Linear):
        axes = 2
    elif isinstance(layer, nnx.LinearGeneral):
        if len(layer.out_features) != 1 or layer.batch_axis:
            return None
        axes = len(layer.in_features) + 1
    else:
        axes = len(layer.kernel_size) + 2
    return layer.kernel.shape[-2 if _outputs_first(layer) else -1] if len(layer.kernel.shape) == axes else None


def _outputs_first(layer: Any) -> bool:
    """Return whether the kernel has its output channels in front of its input channels."""
    return isinstance(layer, nnx.ConvTranspose) and layer.transpose_kernel
