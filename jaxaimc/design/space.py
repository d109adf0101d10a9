"""The space of a design: unconstrained numbers on one side, configs on the other."""

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxaimc._core.component import Component
from jaxaimc.config.paths import at, with_at
from jaxaimc.design.variables import BoundVariable, Configs, Variable, bind

Numbers = dict[str, Float[Array, ""]]


@dataclasses.dataclass(frozen=True, eq=False)
class Space:
    """Configs that differ in the variables alone.

    Attributes:
        config: One config for all layers, or configs by rule.
        variables: The variables, bound.
    """

    config: Configs
    variables: tuple[BoundVariable, ...]

    @classmethod
    def of(cls, config: Configs, variables: Sequence[Variable | str]) -> "Space":
        """Make a space.

        Args:
            config: One config, or configs by rule; validated.
            variables: Variables, or their paths.

        Raises:
            ValueError: If a config is out of range, or as `bind`.
        """
        bound = bind(config, variables)
        space = cls(config if isinstance(config, Component) else dict(config), bound)
        validate(space.configs({one.name: one.start for one in bound}))
        return space

    def start(self) -> Numbers:
        """Return the unconstrained numbers of the starts, which are zero."""
        return {one.name: jnp.zeros((), jnp.result_type(float)) for one in self.variables}

    def values(self, numbers: Numbers) -> Numbers:
        """Return the variables' values, each in its field's unit."""
        return {one.name: one.bijection.value(numbers[one.name]) for one in self.variables}

    def numbers(self, values: Mapping[str, Any]) -> Numbers:
        """Return the unconstrained numbers of values; those on or beyond a bound are moved inside."""
        return {one.name: one.bijection.number(jnp.asarray(values[one.name], float)) for one in self.variables}

    def configs(self, values: Mapping[str, Any]) -> Configs:
        """Return the config, or the configs by rule, with these values."""
        changes: dict[str | None, dict[str, Any]] = {}
        for one in self.variables:
            for (layer, path), ratio in zip(one.targets, one.ratios, strict=True):
                value = values[one.name]
                changes.setdefault(layer, {})[path] = value if ratio is None else value * ratio
        if isinstance(self.config, Component):
            return with_at(self.config, changes.get(None, {}))
        return {
            layer: part if part is None or layer not in changes else with_at(part, changes[layer])
            for layer, part in self.config.items()
        }

    def values_of(self, config: Configs) -> dict[str, Any]:
        """Return the variables' values in a config of this space, such as a projection returns."""
        found = {}
        for one in self.variables:
            layer, path = one.targets[0]
            value = at(config if isinstance(config, Component) else config[layer], path)  # type: ignore
            found[one.name] = value if one.ratios[0] is None else jnp.max(jnp.asarray(value))
        return found

    def facts(self) -> dict[str, Any]:
        """Return what tells it apart, as JSON values."""
        parts = {"": self.config} if isinstance(self.config, Component) else self.config
        return {
            "variables": [one.facts() for one in self.variables],
            "config": {layer: _digest(part) for layer, part in parts.items()},
        }


def _digest(part: Any) -> str:
    leaves, structure = jax.tree.flatten(part)
    content = [str(structure).encode(), *(np.asarray(leaf, float).tobytes() for leaf in leaves)]
    return hashlib.sha256(b"".join(content)).hexdigest()


def validate(config: Configs) -> None:
    """Check the fields of a config, or of each config by rule, and the rules across fields.

    Raises:
        ValueError: If one is out of range, or a rule broken.
    """
    for part in [config] if isinstance(config, Component) else config.values():
        if part is not None:
            part.validate()


def plain(values: Mapping[str, Any]) -> dict[str, float]:
    """Return values as Python's numbers."""
    return {name: float(value) for name, value in jax.device_get(dict(values)).items()}
