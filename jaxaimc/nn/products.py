"""What of a model is a product with weights: on tiles, digital, or not to be told."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from flax import nnx

from jaxaimc.nn.hosts import Host, host_of
from jaxaimc.nn.modes import AnalogProduct
from jaxaimc.nn.op import Hook
from jaxaimc.nn.usage import names_attribute, receivers, usage_of
from jaxaimc.nn.walk import analog_layers, below, modules, products_of


class Product(NamedTuple):
    """A product of activations with weights.

    Attributes:
        path: Path of the layer, or of the parameter in a layer that holds its weights itself.
        layer: Type of the layer.
        shape: Shape of the weights.
        analog: Whether it is made on tiles.
        reason: Why it is digital; empty for an analog one.
    """

    path: str
    layer: str
    shape: tuple[int, ...]
    analog: bool
    reason: str


@dataclass(frozen=True)
class Candidate:
    """A product as `convert` sees it.

    Attributes:
        path: What rules match.
        layer: The module that makes it.
        parameter: Name of the module's attribute that holds the weights.
        host: What can make it analog, or None.
        problem: Why it cannot be analog, as a clause that follows its name; None if it can.
        stays: Why it is digital although no rule says so, where that is meant to be.
    """

    path: str
    layer: Any
    parameter: str
    host: Host | None
    problem: str | None
    stays: str | None = None

    @property
    def type_name(self) -> str:
        """Name of the layer's type, with `nnx.` for Flax's own."""
        cls = getattr(self.layer, "digital_kind", type(self.layer))
        return f"nnx.{cls.__name__}" if cls.__module__.startswith("flax.nnx.") else cls.__name__

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the weights."""
        return next((tuple(weights.shape) for weights in _held(getattr(self.layer, self.parameter))), ())


_LOW_RANK = (
    "is a factor of a low-rank branch, which stays digital so that it can be trained beside a programmed chip; add "
    "`lora_a @ lora_b` to the kernel to have it on the tile"
)
_OWN_CODE = (
    "is a product of the layer's own code; an nnx.Linear, nnx.Conv, nnx.Einsum or nnx.Embed in its place could be "
    "analog"
)
_MADE_ANEW = (nnx.WeightNorm, nnx.SpectralNorm)


def products(model: nnx.Module) -> list[Product]:
    """List every product of a model with weights, and whether it is analog.

    An `nnx.Embed` is one where the model's code calls its `attend`; looking a vector up is no product. The two factors
    of an `nnx.LoRA` are products that stay digital, whatever the rules. A parameter of two or more axes that a module
    holds itself is one unless the module's code only adds it to activations, as position embeddings are. Products of
    activations with each other, such as attention scores, have no weights; `summary` lists those too.

    Args:
        model: Any model, converted or not.

    Returns:
        Products in the order of their paths.

    Example:
        >>> import jax
        >>> from jaxaimc import AnalogConfig, nn
        >>> rngs = nnx.Rngs(0)
        >>> model = nnx.Sequential(nnx.Conv(1, 4, (3, 3), rngs=rngs), nnx.Linear(4, 2, rngs=rngs))
        >>> for product in nn.products(nn.convert(model, [nn.Rule("layers/0", None), nn.Rule(".*", AnalogConfig())])):
        ...     print(product.path, product.layer, product.shape, product.analog, product.reason)
        layers/0 nnx.Conv (3, 3, 1, 4) False no rule puts it on a tile
        layers/1 nnx.Linear (4, 2) True
    """
    found = []
    for candidate in candidates(model):
        analog = any(dot.path == candidate.path for dot in products_of(candidate.layer))
        reason = "" if analog else candidate.problem or candidate.stays or "no rule puts it on a tile"
        found.append(Product(candidate.path, candidate.type_name, candidate.shape, analog, reason))
    known = {product.path for product in found}
    for layer, dot in analog_layers(model):
        if dot.path not in known:
            own = Candidate(dot.path, layer, dot.host.parameter, dot.host, None)
            found.append(Product(dot.path, own.type_name, own.shape, True, ""))
    return sorted(found, key=lambda product: product.path)


def candidates(model: nnx.Module) -> list[Candidate]:
    """List the products of a model as `convert` sees them.

    Args:
        model: Any model.
    """
    seen = [(path, module) for path, module in modules(model) if not isinstance(module, (AnalogProduct, Hook))]
    attended = _attended([module for _, module in seen])
    found = [
        candidate
        for path, module in seen
        for candidate in _of_module(
            path, module, multiplies=not isinstance(module, nnx.Embed) or any(module is one for one in attended)
        )
    ]
    wrapped = [(path, module) for path, module in seen if isinstance(module, _MADE_ANEW)]
    return sorted((_with_wrapper(one, wrapped) for one in found), key=lambda one: one.path)


def other_paths(model: nnx.Module) -> list[str]:
    """List the paths of all modules and parameters, products or not: a rule may name any to keep it digital.

    Args:
        model: Any model.
    """
    paths = []
    for path, module in modules(model):
        paths += [path, *(below(path, name) for name, _ in _parameters(module))]
    return paths


def _of_module(path: str, module: Any, *, multiplies: bool) -> Iterator[Candidate]:
    host = host_of(module) if multiplies else None
    if host is not None:
        attached = next((dot for dot in products_of(module) if dot.path == path), None)
        problem = None if attached is not None else host.problem(module)
        yield Candidate(path, module, host.parameter, host, problem)
    elif isinstance(module, nnx.LoRA):
        for name in ("lora_a", "lora_b"):
            yield Candidate(below(path, name), module, name, None, None, _LOW_RANK)
    yield from _raw(path, module)


def _attended(seen: list[Any]) -> list[nnx.Embed]:
    """Return the embeddings on which the model's code calls `attend`; all of them where that is not clear."""
    tables = [module for module in seen if isinstance(module, nnx.Embed)]
    found = []
    for module in seen:
        for chain in receivers(type(module), "attend") if tables else ():
            target = module if chain is not None else None
            for name in chain or ():
                target = getattr(target, name, None)
            if isinstance(target, nnx.Embed):
                found.append(target)
            elif not isinstance(target, nnx.Module) or not hasattr(target, "attend"):
                return tables
    return found


def _raw(path: str, module: Any) -> Iterator[Candidate]:
    """Yield the matrices that a module holds itself and may multiply with."""
    for name, shapes in _parameters(module):
        cls = type(module)
        if names_attribute(cls, name, of_flax=True):
            continue
        usage = usage_of(cls, name)
        matrices = [shape for shape in shapes if len(shape) >= 2]
        if usage == "added" or not matrices:
            continue
        if usage == "multiplied":
            yield Candidate(below(path, name), module, name, None, _OWN_CODE)
        elif any(sum(size > 1 for size in shape) > 1 for shape in matrices):
            yield Candidate(below(path, name), module, name, None, "may be multiplied with, its use is not clear")


def _parameters(module: Any) -> Iterator[tuple[str, list[tuple[int, ...]]]]:
    """Yield the attributes that hold parameters, in Flax's or Python's containers as well, with their shapes."""
    if isinstance(module, (nnx.List, nnx.Dict)):
        return
    for name, value in vars(module).items():
        if not name.startswith("_pytree__"):
            shapes = [tuple(parameter.shape) for parameter in _held(value)]
            if shapes:
                yield name, shapes


def _held(value: Any) -> Iterator[Any]:
    if isinstance(value, nnx.Param):
        yield value
    elif isinstance(value, (nnx.List, nnx.Dict)):
        yield from (inner for entry in vars(value).values() for inner in _held(entry))
    elif isinstance(value, (list, tuple)):
        yield from (inner for entry in value for inner in _held(entry))
    elif isinstance(value, (dict, nnx.State)):
        yield from (inner for entry in value.values() for inner in _held(entry))


def _with_wrapper(candidate: Candidate, wrapped: list[tuple[str, Any]]) -> Candidate:
    for path, module in wrapped:
        if candidate.path == path or candidate.path.startswith(below(path, "")):
            problem = (
                f"gets its kernel from nnx.{type(module).__name__} in every call, while a tile holds one kernel; put "
                "a layer with the normalised kernel in the place of both"
            )
            return Candidate(candidate.path, candidate.layer, candidate.parameter, None, problem)
    return candidate
