"""What is measured of a design on a chip."""

import abc
import hashlib
import json
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import Array, Float, Key

from jaxaimc._core.checks import shown
from jaxaimc.config import AnalogConfig

Columns = dict[str, str]
Found = dict[str, Float[np.ndarray, "design chip"]]


class DesignWarning(UserWarning):
    """Designs whose numbers are not to be taken as they are."""


class Measure(abc.ABC):
    """Figures of a config on one chip, as a pure function that JAX traces once for thousands of designs.

    Register a class of your own as a pytree (`jax.tree_util.register_dataclass`), so that its arrays are arguments of
    the compiled function rather than constants in it. A measure travels to other processes: its arrays are NumPy's.
    """

    # Designs times chips that are one piece of work for an engine; None for the default.
    chunk: int | None = None

    @property
    @abc.abstractmethod
    def columns(self) -> Columns:
        """Units of the figures by name, in the order of a table; empty for pure numbers."""

    @abc.abstractmethod
    def facts(self) -> dict[str, Any]:
        """Return all that the figures follow from beside config and chip, as JSON values.

        Results are found by it again, and compiled functions too: measures with equal facts are one.
        """

    @abc.abstractmethod
    def __call__(
        self, config: AnalogConfig, key_chip: Key[Array, ""], key_read: Key[Array, ""]
    ) -> dict[str, Float[Array, ""]]:
        """Return the figures, by the names of `columns`; under `jax.jit`, pure.

        Args:
            config: The tile; its leaves are traced.
            key_chip: All that a chip keeps is drawn from it.
            key_read: All that is new in each read.
        """

    def ready(self, config: AnalogConfig) -> "Measure":
        """Return the measure with what it has to know of a structure, and warn of what is lost in it.

        Called outside of `jax.jit`, once in a process for all configs of a structure, whatever their leaves.

        Args:
            config: The tile, of one of the designs.
        """
        return self

    def finished(self, found: Found) -> Found:
        """Return the figures as they stand in a table, such as means of what was summed up exactly.

        Args:
            found: Figures of all designs and chips.
        """
        return found

    def notes(self, found: Found) -> list[str]:
        """Return what to warn of, as sentences without a full stop.

        Args:
            found: Figures of all designs and chips.
        """
        return not_finite(found)


def not_finite(found: Found) -> list[str]:
    """Return a sentence for each figure that is not finite somewhere.

    Args:
        found: Figures of all designs and chips.
    """
    notes = []
    for name, values in found.items():
        bad = ~np.isfinite(values)
        if bad.any():
            design, chip = np.argwhere(bad)[0]
            notes.append(
                f"{name!r} is not finite in {bad.sum()} of {values.size} evaluations, first in row {design} of the "
                f"designs on chip column {chip}"
            )
    return notes


def fingerprint(measure: Measure) -> str:
    """Return a hash of all that a measure's figures follow from.

    Args:
        measure: The measure.
    """
    text = json.dumps([type(measure).__qualname__, measure.facts()], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def digest(*arrays: Any) -> str:
    """Return a hash of arrays, with their shapes and types.

    Args:
        *arrays: The arrays.
    """
    content = hashlib.sha256()
    for array in map(np.ascontiguousarray, arrays):
        content.update(f"{array.shape}{array.dtype}".encode())
        content.update(array.tobytes())
    return content.hexdigest()


class Function(Measure):
    """A function of your own as a measure; made by `of`.

    Args:
        function: The function.
        columns: Units by name.
        facts: What its figures follow from.
        token: Tells functions apart whose facts are equal.
    """

    def __init__(self, function: Callable[..., Any], columns: Columns, facts: dict[str, Any], token: str):
        self.function, self.token = function, token
        self._columns, self._facts = dict(columns), dict(facts)

    @classmethod
    def of(
        cls,
        function: Callable[[AnalogConfig, Key[Array, ""], Key[Array, ""]], Mapping[str, Any]],
        columns: Mapping[str, str],
        facts: Mapping[str, Any],
    ) -> "Function":
        """Make a measure of a function.

        Args:
            function: `(config, key_chip, key_read) -> figures by name`, scalars; pure, and traceable by JAX.
            columns: Units of the figures by name; empty texts for pure numbers.
            facts: All that the figures follow from beside config and chip, as JSON values, such as the hash of a data
                set and a version of the function. Results that were kept are found by it.

        Raises:
            ValueError: If an argument is of another kind.

        Example:
            >>> from jaxaimc import AnalogConfig
            >>> power = Function.of(
            ...     lambda config, key_chip, key_read: {"power": config.drive.v_read**2 * config.cell.g_max},
            ...     {"power": "W"},
            ...     {"version": 1},
            ... )
            >>> key = jax.random.key(0)
            >>> float(power(AnalogConfig(), key, key)["power"])
            1e-06
        """
        if not callable(function):
            raise ValueError(f"Argument `function` must be a function, but is {shown(function)}.")
        for name, value in (("columns", columns), ("facts", facts)):
            if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
                raise ValueError(f"Argument `{name}` must be a dictionary with texts as keys, but is {shown(value)}.")
        if not columns or not all(isinstance(unit, str) for unit in columns.values()):
            raise ValueError(f"Argument `columns` must give a unit for at least one figure, but is {shown(columns)}.")
        try:
            json.dumps(dict(facts))
        except (TypeError, ValueError) as error:
            raise ValueError(f"Argument `facts` must hold JSON values, but {error}.") from error
        return cls(function, dict(columns), dict(facts), uuid.uuid4().hex)

    @property
    def columns(self) -> Columns:
        """As given."""
        return self._columns

    def facts(self) -> dict[str, Any]:
        """Return what was given, and the function's name."""
        return {"measure": "Function", "function": getattr(self.function, "__qualname__", ""), **self._facts}

    def __call__(self, config: AnalogConfig, key_chip: Key[Array, ""], key_read: Key[Array, ""]) -> dict[str, Array]:
        """Return what the function returns.

        Raises:
            ValueError: If that is not a scalar for each column.
        """
        found = self.function(config, key_chip, key_read)
        if not isinstance(found, Mapping) or set(found) != set(self._columns):
            given = ", ".join(map(repr, found)) if isinstance(found, Mapping) else shown(found)
            raise ValueError(
                f"Argument `function` of Function must return the figures {', '.join(map(repr, self._columns))}, but "
                f"returns {given}."
            )
        for name, value in found.items():
            if jax.numpy.shape(value):
                raise ValueError(
                    f"Argument `function` of Function must return scalars, but {name!r} has shape "
                    f"{jax.numpy.shape(value)}."
                )
        return dict(found)
