"""Components: frozen dataclasses that are pytrees, and whose fields carry their own units and bounds.

A *leaf* is a continuous quantity, traced and differentiated; a *static* field is structure, a new value of which
compiles anew. What is said of a field once, where it is declared, is what `validate`, `describe`, config files, sweeps
and optimisers go by.
"""

import abc
import dataclasses
import inspect
import typing
from typing import Any, TypeVar, dataclass_transform

import jax

from jaxaimc._core import checks
from jaxaimc._core.describe import describe

T = TypeVar("T")

# Every class of components by its qualified name. Config files can name these and nothing else.
CLASSES: dict[str, type] = {}


def leaf(
    default: Any = dataclasses.MISSING,
    unit: str = "",
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    below: float | None = None,
    infinite: bool = False,
    array: bool = False,
) -> Any:
    """Declare a continuous field: a leaf of the pytree with its unit and bounds.

    A field without `leaf`, such as `sigma: float = 0.05`, is a leaf as well: any finite number without a unit.

    Args:
        default: Default value in base SI units; without one the field is required.
        unit: Symbol of the base unit, such as `"S"` or `"ohm"`; empty for a pure number.
        low: Smallest allowed value.
        high: Largest allowed value.
        above: Bound that the value must exceed.
        below: Bound that the value must stay under.
        infinite: Whether infinity is allowed.
        array: Whether one component may hold an array here; other leaves are numbers, and arrays of them are mapped
            over with `jax.vmap`.

    Returns:
        A dataclass field.

    Example:
        >>> from jaxaimc import component, leaf
        >>> from jaxaimc.adcs import ADC
        >>> @component
        ... class Noisy(ADC):
        ...     sigma: float = leaf(0.05, low=0.0, high=1.0)
        ...     def convert(self, q, readout, key=None):
        ...         return q
        >>> Noisy(sigma=2.0).validate()
        Traceback (most recent call last):
        ValueError: Field `sigma` of Noisy must be in [0, 1], but is 2.
    """
    limits = checks.Limits(unit=unit, low=low, high=high, above=above, below=below, infinite=infinite, array=array)
    return dataclasses.field(default=default, metadata={"limits": limits})


def static(
    *, default: Any = dataclasses.MISSING, low: int | None = None, high: int | None = None, **kwargs: Any
) -> Any:
    """Declare a field that is part of a component's structure, not one of its leaves.

    Args:
        default: Default value; without one the field is required.
        low: Smallest allowed value of an integer, or of each entry of a tuple of integers.
        high: Largest allowed value.
        **kwargs: Passed on to `dataclasses.field`.

    Returns:
        A dataclass field that JAX treats as auxiliary data (hashable, compared by value, a new value recompiles).
    """
    return dataclasses.field(default=default, metadata={"static": True, "low": low, "high": high}, **kwargs)


class Component(abc.ABC):  # noqa: B024 -- the kinds of parts have the abstract methods
    """What every component has. The kinds of parts (`Cell`, `ADC`, ...) derive from it, and yours from those."""

    def validate(self) -> None:
        """Check the fields that are known (not traced) against their declarations, then the rules across fields.

        Raises:
            ValueError: If a field is out of its range or of the wrong kind; the message names it, its value, its unit
                and what is allowed.
        """
        for field in dataclasses.fields(self):  # pyright: ignore[reportArgumentType]
            if not field.metadata.get("static"):
                _check_leaf(self, field, getattr(self, field.name))
        self.check()

    def check(self) -> None:  # noqa: B027 -- most classes have no such rule
        """Check rules across fields, for classes that have some; `validate` calls it last.

        Raises:
            ValueError: If one is broken.
        """

    def describe(self, name: str = "") -> str:
        """Return every component and field with its value and unit, one per line.

        Args:
            name: What to call this component.
        """
        return describe(self, name)

    def with_(self, **changes: Any) -> Any:
        """Return this component with other values of some fields, reaching through wrappers.

        Args:
            **changes: New values by field name.

        Returns:
            The changed component, or None if neither it nor what it wraps has these fields.

        Example:
            >>> from jaxaimc.adcs import CCO, Mismatch, Uniform
            >>> Mismatch(adc=Uniform(bits=8)).with_(bits=6.0).adc.bits, CCO().with_(bits=6.0)
            (6.0, None)
        """
        fields = dataclasses.fields(self)  # pyright: ignore[reportArgumentType]
        if set(changes) <= {field.name for field in fields}:
            return dataclasses.replace(self, **changes)  # pyright: ignore[reportArgumentType]
        for field in fields:
            part = getattr(self, field.name)
            if isinstance(part, kind(type(self))):
                changed = part.with_(**changes)
                if changed is not None:
                    return dataclasses.replace(self, **{field.name: changed})  # pyright: ignore[reportArgumentType]
        return None


def kind(cls: type) -> type:
    """Return the kind of part that a class of components is: `ADC` for `Uniform`, `Wires` for `Ladder`.

    Args:
        cls: A subclass of `Component`.

    Returns:
        The most basic of its bases below `Component`.
    """
    return next(base for base in reversed(cls.__mro__) if issubclass(base, Component) and base is not Component)


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(dataclasses.field, static))
def component(cls: type[T]) -> type[T]:
    """Turn a class into a component: frozen, keyword-only, registered as a JAX pytree.

    Fields are leaves (floats, arrays) or sub-components, unless declared with `static`. Because JAX rebuilds
    components with tracers inside, `__post_init__` may check static fields only; numeric checks belong to the fields
    (`leaf`) and to `check`, which the public verbs run on concrete values.

    Raises:
        TypeError: If a whole number, a flag or a text is not declared `static`.
    """
    declared = _declared_types(cls)
    _check_declarations(cls, declared)
    inherited = getattr(cls, "__post_init__", None)

    def post_init(self: Any) -> None:
        for field in static_fields:
            _check_static(self, field, declared.get(field.name, field.type))
        for field, role in role_fields:
            _check_role(self, field, role)
        if inherited is not None:
            inherited(self)

    cls.__post_init__ = post_init  # pyright: ignore[reportAttributeAccessIssue]
    overridden = [n for n in inspect.get_annotations(cls) if isinstance(inspect.getattr_static(cls, n, None), property)]
    for name in overridden:
        # Otherwise the property of a base would be taken for the field's default.
        setattr(cls, name, dataclasses.field())
    cls = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
    for name in overridden:
        setattr(cls, name, None)
    abc.update_abstractmethods(cls)
    fields = dataclasses.fields(cls)  # pyright: ignore[reportArgumentType]
    parts = tuple(field.name for field in fields if not field.metadata.get("static"))
    structure = tuple(field.name for field in fields if field.metadata.get("static"))
    static_fields = [field for field in fields if field.metadata.get("static")]
    role_fields = [(field, role) for field in fields if (role := _role(declared.get(field.name, field.type)))]
    for field in fields:
        # What a text annotation stands for, for all who look at a field later.
        field.type = declared.get(field.name, field.type)
    keys = tuple(jax.tree_util.GetAttrKey(name) for name in parts)

    def flatten(self: T) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        return tuple([getattr(self, name) for name in parts]), tuple([getattr(self, name) for name in structure])

    def flatten_with_keys(self: T) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        values, static_values = flatten(self)
        return tuple(zip(keys, values, strict=True)), static_values

    def unflatten(static_values: tuple[Any, ...], values: Any) -> T:
        return cls(**dict(zip(parts, values, strict=True)), **dict(zip(structure, static_values, strict=True)))

    # Not `register_dataclass`: to jax 0.10 two of its classes with equal fields are one structure, and `jax.jit` then
    # answers for one of them with what it compiled for the other, once in a hundred pairs.
    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
    CLASSES[f"{cls.__module__}.{cls.__qualname__}"] = cls
    return cls


_STRUCTURE: tuple[Any, ...] = (int, bool, str)
_NO_LIMITS = checks.Limits()


def _declared_types(cls: type) -> dict[str, Any]:
    """Return the types of a class's own fields, texts resolved where what they name can be found."""
    try:
        return typing.get_type_hints(cls)
    except Exception:  # whatever evaluating a stranger's annotation may raise; the fields then have no role
        return dict(inspect.get_annotations(cls))


def _check_declarations(cls: type, declared: dict[str, Any]) -> None:
    """Refuse structure that would become a traced leaf, and fail with a riddle the first time it is compiled."""
    for name in inspect.get_annotations(cls):
        value, declaration = cls.__dict__.get(name), declared.get(name, Any)
        is_static = isinstance(value, dataclasses.Field) and value.metadata.get("static")
        if declaration in _STRUCTURE and not is_static:
            word = declaration.__name__
            raise TypeError(
                f"Field `{name}` of {cls.__name__} is declared {word}, which is structure: write "
                f"`{name}: {word} = static(default=...)`, or `float` for a continuous quantity."
            )


def _check_static(owner: Any, field: dataclasses.Field, declared: Any) -> None:
    value, low, high = getattr(owner, field.name), field.metadata.get("low"), field.metadata.get("high")
    if typing.get_origin(declared) is tuple and not isinstance(value, tuple):
        # Lists and arrays (from a config file) are not hashable, which static fields must be.
        value = tuple(value.tolist() if hasattr(value, "tolist") else value)
        object.__setattr__(owner, field.name, value)
    if declared is bool and not isinstance(value, bool):
        raise ValueError(f"Field `{field.name}` of {type(owner).__name__} must be true or false, but is {value!r}.")
    if low is None and high is None:
        return
    low, high = (-(2**31) if low is None else low), (2**31 - 1 if high is None else high)
    for entry in value if isinstance(value, tuple) else (value,):
        checks.check_integer(type(owner).__name__, field.name, entry, low=low, high=high)


def _role(declared: Any) -> type | None:
    return declared if isinstance(declared, type) and issubclass(declared, Component) else None


def _check_role(owner: Any, field: dataclasses.Field, role: type) -> None:
    """Refuse a component of another kind. JAX rebuilds components with anything inside: only those are looked at."""
    value = getattr(owner, field.name)
    if isinstance(value, Component) and not isinstance(value, role):
        raise ValueError(_wrong_role(owner, field, role, f"a {type(value).__name__}, which is {_a(kind(type(value)))}"))


def _check_leaf(owner: Any, field: dataclasses.Field, value: Any) -> None:
    role = _role(field.type)
    if isinstance(value, Component) or (dataclasses.is_dataclass(value) and hasattr(value, "validate")):
        value.validate()  # pyright: ignore[reportAttributeAccessIssue]
    elif role is not None:
        shown = repr(value) if len(repr(value)) < 60 else f"a {type(value).__name__}"
        raise ValueError(_wrong_role(owner, field, role, shown))
    elif field.type is not Any and not dataclasses.is_dataclass(value):
        checks.check_limits(type(owner).__name__, field.name, value, field.metadata.get("limits", _NO_LIMITS))


def _wrong_role(owner: Any, field: dataclasses.Field, role: type, shown: str) -> str:
    package = role.__module__.rsplit(".", 1)[0]
    return (
        f"Field `{field.name}` of {type(owner).__name__} must be {_a(role)} of `{package}` or a class derived from it, "
        f"but is {shown}."
    )


def _a(role: type) -> str:
    return f"an {role.__name__}" if role.__name__[0] in "AEIO" else f"a {role.__name__}"
