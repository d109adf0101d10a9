"""Components: frozen dataclasses that are pytrees, and whose fields carry their own units and bounds.

A *leaf* is a continuous quantity, traced and differentiated; a *static* field is structure, a new value of which
compiles anew. What is said of a field once, where it is declared, is what `validate`, `describe`, config files, sweeps
and optimisers go by.
"""

import abc
import dataclasses
import inspect
from typing import Any, ClassVar, NamedTuple, TypeVar, dataclass_transform

import jax

from jaxaimc._core import checks, fields, html
from jaxaimc._core.describe import describe

T = TypeVar("T")

# Every class of components by its qualified name. Config files can name these and nothing else.
CLASSES: dict[str, type] = {}
# Where a component notes that it was checked.
_VALID = "_valid"


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

    _leaf_fields: ClassVar[tuple["_LeafField", ...]] = ()

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """Refuse a class that lacks a method of its kind, with what to write.

        Raises:
            TypeError: If an abstract method is missing.
        """
        if cls.__abstractmethods__:
            raise TypeError(_lacking(cls))
        return super().__new__(cls)

    def validate(self) -> None:
        """Check the fields that are known (not traced) against their declarations, then the rules across fields.

        Raises:
            ValueError: If a field is out of its range or of the wrong kind; the message names it, its value, its unit
                and what is allowed.
        """
        # Nothing in a component changes after it was made, so that it is looked at once, however often it is used.
        if _VALID in self.__dict__:
            return
        for leaf_field in self._leaf_fields:
            _check_leaf(self, leaf_field, getattr(self, leaf_field.name))
        self.check()
        object.__setattr__(self, _VALID, True)

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

    def _repr_html_(self) -> str:
        """Return what `describe` says as notebooks show it, parts that can be folded away."""
        return html.tree(describe(self))

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
        own = dataclasses.fields(self)  # pyright: ignore[reportArgumentType]
        if set(changes) <= {field.name for field in own}:
            return dataclasses.replace(self, **changes)  # pyright: ignore[reportArgumentType]
        for field in own:
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
    declared = fields.declared_types(cls)
    _check_declarations(cls, declared)
    inherited = getattr(cls, "__post_init__", None)

    def post_init(self: Any) -> None:
        for field in static_fields:
            value = getattr(self, field.name)
            checked = fields.checked_static(cls.__name__, field, value)
            if checked is not value:
                object.__setattr__(self, field.name, checked)
        for field, kinds in role_fields:
            _check_role(self, field, kinds)
        if inherited is not None:
            inherited(self)

    cls.__post_init__ = post_init  # pyright: ignore[reportAttributeAccessIssue]
    cls = _as_dataclass(cls)
    every = dataclasses.fields(cls)  # pyright: ignore[reportArgumentType]
    for field in every:
        # What a text annotation stands for, for all who look at a field later.
        field.type = declared.get(field.name, field.type)
    leaf_fields = [field for field in every if not field.metadata.get("static")]
    cls._leaf_fields = tuple(map(_leaf_field, leaf_fields))  # pyright: ignore[reportAttributeAccessIssue]
    parts = tuple(field.name for field in leaf_fields)
    static_fields = [field for field in every if field.metadata.get("static")]
    structure = tuple(field.name for field in static_fields)
    role_fields = [(field, kinds) for field in every if (kinds := roles(field.type))]
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


def is_component(node: Any) -> bool:
    """Return whether a value is an instance of a class made by `component`."""
    cls = type(node)
    return CLASSES.get(f"{cls.__module__}.{cls.__qualname__}") is cls


def roles(declared: Any) -> tuple[type, ...]:
    """Return the kinds of parts that a field is for; none where it is for numbers.

    Args:
        declared: Type of the field.
    """
    return tuple(choice for choice in fields.choices(declared) if _is_component_class(choice))


def wrong_role(owner: str, name: str, kinds: tuple[type, ...], value: Any) -> str:
    """Return the error for a field that holds no part of the kind it is for.

    Args:
        owner: Class that owns the field.
        name: Name of the field.
        kinds: What it is for.
        value: What was given.
    """
    if isinstance(value, Component):
        given = f"{_a(type(value))}, which is {_a(kind(type(value)))}"
    elif _is_component_class(value):
        given = f"the class {value.__name__} itself: write `{value.__name__}(...)`"
    else:
        given = checks.shown(value)
    named = " or ".join(f"{_a(role)} of `{role.__module__.rsplit('.', 1)[0]}`" for role in kinds)
    return f"Field `{name}` of {owner} must be {named} or a class derived from it, but is {given}."


def _is_component_class(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, Component)


def _as_dataclass(cls: type[T]) -> type[T]:
    """Make a frozen dataclass, in which a field without default may take the place of an inherited property."""
    hidden = [
        name
        for name in inspect.get_annotations(cls)
        if name not in cls.__dict__ and isinstance(getattr(cls, name, None), property)
    ]
    for name in hidden:
        # Otherwise the property would be taken for the field's default.
        setattr(cls, name, dataclasses.field())
    cls = dataclasses.dataclass(frozen=True, kw_only=True)(cls)
    for name in hidden:
        setattr(cls, name, None)
    return abc.update_abstractmethods(cls)


def _lacking(cls: type) -> str:
    """Return which methods a class lacks, and how they begin."""
    missing = {name: getattr(cls, name) for name in sorted(cls.__abstractmethods__)}  # pyright: ignore
    wanted = [
        f"the field `{name}` (or a property)" if isinstance(member, property) else f"`def {name}{_signature(member)}`"
        for name, member in missing.items()
    ]
    return f"{cls.__name__} is not a whole {kind(cls).__name__} yet: it lacks {' and '.join(wanted)}."


def _signature(method: Any) -> str:
    parameters = inspect.signature(method).parameters.values()
    bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in parameters]
    return str(inspect.Signature(bare))


def _check_declarations(cls: type, declared: dict[str, Any]) -> None:
    """Refuse structure that would become a traced leaf, and fail with a riddle the first time it is compiled."""
    for name in inspect.get_annotations(cls):
        value, declaration = cls.__dict__.get(name), declared.get(name, Any)
        is_static = isinstance(value, dataclasses.Field) and value.metadata.get("static")
        if fields.is_structure(declaration) and not is_static:
            word = fields.name_of(declaration)
            raise TypeError(
                f"Field `{name}` of {cls.__name__} is declared {word}, which is structure: write "
                f"`{name}: {word} = static(default=...)`, or `float` for a continuous quantity."
            )


def _check_role(owner: Any, field: dataclasses.Field, kinds: tuple[type, ...]) -> None:
    """Refuse a component of another kind. JAX rebuilds components with anything inside: only those are looked at."""
    value = getattr(owner, field.name)
    if (isinstance(value, Component) and not isinstance(value, kinds)) or _is_component_class(value):
        raise ValueError(wrong_role(type(owner).__name__, field.name, kinds, value))


class _LeafField(NamedTuple):
    """What `validate` has to know of a field that is not static, worked out once per class.

    Attributes:
        name: Name of the field.
        kinds: Kinds of parts that it is for.
        limits: What is allowed in it as a number.
        is_numeric: Whether it may hold numbers.
        is_tuple: Whether it may hold a tuple of them.
        is_optional: Whether it may be None.
        is_open: Whether its annotation says nothing.
    """

    name: str
    kinds: tuple[type, ...]
    limits: checks.Limits
    is_numeric: bool
    is_tuple: bool
    is_optional: bool
    is_open: bool


def _leaf_field(field: dataclasses.Field) -> _LeafField:
    kinds, choices = roles(field.type), fields.choices(field.type)
    return _LeafField(
        name=field.name,
        kinds=kinds,
        limits=field.metadata.get("limits", checks.Limits()),
        is_numeric=any(choice not in (*kinds, type(None)) for choice in choices),
        is_tuple=fields.is_tuple(field.type),
        is_optional=type(None) in choices,
        is_open=fields.is_open(field.type),
    )


def _check_leaf(owner: Any, field: _LeafField, value: Any) -> None:
    name = type(owner).__name__
    is_part = isinstance(value, Component) and (field.kinds or field.is_open)
    if is_part or (_is_foreign(value) and hasattr(value, "validate")):
        value.validate()
    elif value is None and field.is_optional:
        return
    elif field.kinds and not field.is_numeric:
        raise ValueError(wrong_role(name, field.name, field.kinds, value))
    elif not field.is_open and not _is_foreign(value):
        if isinstance(value, tuple) and not field.is_tuple:
            raise ValueError(f"Field `{field.name}` of {name} must be one number, but is {checks.shown(value)}.")
        checks.check_limits(name, field.name, value, field.limits)


def _is_foreign(value: Any) -> bool:
    """Return whether a value is a pytree of its own that is no component: it checks itself."""
    return dataclasses.is_dataclass(value) and not isinstance(value, (type, Component))


def _a(role: type) -> str:
    return f"an {role.__name__}" if role.__name__[0] in "AEIO" else f"a {role.__name__}"
