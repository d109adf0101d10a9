"""A device from measurements: mean and spread of the conductance at states and times."""

import csv
from pathlib import Path

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jaxaimc._core.checks import check_number
from jaxaimc._core.component import component
from jaxaimc._core.random import standard_normal
from jaxaimc.devices.base import Device, NoReadNoise, ReadNoise
from jaxaimc.devices.curves import Tabulated, check_increasing
from jaxaimc.devices.relaxation import Relaxation, ShiftSinceFirst, SpreadSinceFirst, Timeline

_NO_READ_NOISE = NoReadNoise()
_COLUMNS = ("t_s", "target_S", "mean_S", "spread_S")


@component
class Table:
    """Measured mean and spread per state and time, as both programming noise and drift of a device.

    Programming draws from the first time's normal distribution; drift adds an independent normal change, so that mean
    and spread at every measured time are the measured ones. Between states the table is interpolated linearly, between
    times linearly in `ln(1 + t / t_scale)`; outside, the nearest entry holds. Where a spread shrinks with time, the
    change has none. Conductances are cut at zero.

    Attributes:
        times: Times since programming [s], increasing, shape (time,).
        targets: Conductances that were aimed at [S], increasing, shape (state,).
        mean: Mean conductance [S], shape (time, state).
        spread: Standard deviation of the conductance [S], shape (time, state).
        t_scale: Where linear interpolation in time gives way to logarithmic [s].

    Example:
        >>> import jax, jax.numpy as jnp, numpy as np
        >>> table = Table(
        ...     times=np.array([0.0, 3600.0]),
        ...     targets=np.array([0.0, 100e-6]),
        ...     mean=np.array([[0.0, 100e-6], [0.0, 98e-6]]),
        ...     spread=np.array([[1e-6, 1e-6], [2e-6, 3e-6]]),
        ... )
        >>> device = table.device()
        >>> g = device.programming.program(jnp.full(10_000, 50e-6), jax.random.key(0))
        >>> later = device.drift.drift(g, jnp.full(10_000, 50e-6), 3600.0, jax.random.key(1))
        >>> round(float(later.mean()) * 1e6, 1), round(float(later.std()) * 1e6, 1)
        (49.0, 2.5)
    """

    times: Float[Array, " time"] | np.ndarray
    targets: Float[Array, " state"] | np.ndarray
    mean: Float[Array, "time state"] | np.ndarray
    spread: Float[Array, "time state"] | np.ndarray
    t_scale: float = 1.0

    def device(self, read_noise: ReadNoise = _NO_READ_NOISE) -> Device:
        """Return the device of this table.

        Args:
            read_noise: Noise of each read; a table of means and spreads holds none.

        Returns:
            Device whose programming and retention are this table.
        """
        return Device(programming=self, drift=self, read_noise=read_noise)

    def program(self, target: Float[Array, "*cell"], key: Key[Array, ""]) -> Float[Array, "*cell"]:
        """Return programmed conductances [S], drawn from the first time's distribution."""
        mean, spread = self._timeline(self.mean).first(target), self._timeline(self.spread).first(target)
        return jnp.maximum(mean + spread * standard_normal(key, target.shape, target.dtype), 0.0)

    def drift(
        self,
        programmed: Float[Array, "*cell"],
        target: Float[Array, "*cell"],
        t: Float[Array, ""] | float,
        key: Key[Array, ""],
    ) -> Float[Array, "*cell"]:
        """Return the conductances [S] at time `t` [s]."""
        law = Relaxation(
            shift=ShiftSinceFirst(total=self._timeline(self.mean)),
            spread=SpreadSinceFirst(total=self._timeline(self.spread)),
            g_max=1.0,
        )
        return law.drift(programmed, target, t, key)

    def _timeline(self, values: Float[Array, "time state"] | np.ndarray) -> Timeline:
        states = jnp.broadcast_to(jnp.asarray(self.targets), values.shape)
        return Timeline(times=self.times, curve=Tabulated(states=states, values=values), t_scale=self.t_scale)

    def validate(self) -> None:
        """Check shapes and values.

        Raises:
            ValueError: If shapes do not fit together, times or targets do not increase, or a number is negative or
                not finite.
        """
        shape = (np.shape(self.times)[0], np.shape(self.targets)[0])
        for name in ("mean", "spread"):
            value = getattr(self, name)
            if np.shape(value) != shape:
                raise ValueError(
                    f"Field `{name}` of Table must have shape (time={shape[0]}, state={shape[1]}), "
                    f"but has shape {np.shape(value)}."
                )
            check_number("Table", name, value, "S", low=0.0)
        check_number("Table", "times", self.times, "s", low=0.0)
        check_number("Table", "targets", self.targets, "S", low=0.0)
        check_number("Table", "t_scale", self.t_scale, "s", low=0.0, open_low=True)
        check_increasing("Table", "times", self.times)
        check_increasing("Table", "targets", self.targets)


def read_csv(path: str | Path) -> Table:
    """Read a table from a CSV file with the columns `t_s`, `target_S`, `mean_S`, `spread_S`.

    One line per time and state, in any order; every time must have every state. Other columns are refused, so that a
    misspelt one is not silently lost.

    Args:
        path: File.

    Returns:
        The table, checked.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If columns are missing or unknown, an entry is no number, or a time lacks a state.
    """
    with open(path, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        names = tuple(name.strip() for name in reader.fieldnames or ())
        if sorted(names) != sorted(_COLUMNS):
            raise ValueError(f"Table {str(path)!r} must have the columns {', '.join(_COLUMNS)}, but has {names}.")
        reader.fieldnames = names
        rows = [_numbers(row, path, line) for line, row in enumerate(reader, start=2)]
    entries = {(row[0], row[1]): row[2:] for row in rows}
    times, targets = (np.array(sorted({row[axis] for row in rows})) for axis in (0, 1))
    if not rows or len(rows) != len(times) * len(targets) or len(entries) != len(rows):
        raise ValueError(
            f"Table {str(path)!r} must have one line for each of its {len(times)} times and {len(targets)} targets, "
            f"but has {len(rows)} lines, {len(entries)} of them different."
        )
    grid = np.array([[entries[t, g] for g in targets] for t in times])
    table = Table(times=times, targets=targets, mean=grid[..., 0], spread=grid[..., 1])
    table.validate()
    return table


def write_csv(table: Table, path: str | Path) -> None:
    """Write a table as `read_csv` reads it.

    Args:
        table: The table.
        path: File; overwritten.
    """
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for k, t in enumerate(np.asarray(table.times)):
            for i, g in enumerate(np.asarray(table.targets)):
                writer.writerow([repr(float(v)) for v in (t, g, table.mean[k][i], table.spread[k][i])])


def _numbers(row: dict, path: str | Path, line: int) -> tuple[float, ...]:
    try:
        return tuple(float(row[name]) for name in _COLUMNS)
    except (TypeError, ValueError) as error:
        raise ValueError(f"Table {str(path)!r}, line {line}: every entry must be a number, but is {row}.") from error
