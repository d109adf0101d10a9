"""A device from measurements: mean and standard deviation of the conductance at states and times."""

import csv
from pathlib import Path

import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jaxaimc._core.component import component, leaf
from jaxaimc._core.csv_files import read_numbers
from jaxaimc._core.files import replacing
from jaxaimc._core.random import standard_normal
from jaxaimc.devices.axes import check_increasing
from jaxaimc.devices.base import Device, DriftLaw, NoReadNoise, ProgrammingNoise, ReadNoise, least
from jaxaimc.devices.curves import Tabulated
from jaxaimc.devices.relaxation import Relaxation, ShiftSinceFirst, StdSinceFirst, Timeline

_NO_READ_NOISE = NoReadNoise()
_COLUMNS = ("t_s", "target_S", "mean_S", "std_S")
# Columns by their names in files of earlier versions.
_OLD_NAMES = {"spread_S": "std_S"}


@component
class DeviceTable(ProgrammingNoise, DriftLaw):
    """Measured mean and standard deviation per state and time, as both programming noise and drift of a device.

    Programming draws from the first time's normal distribution; drift adds an independent normal change, so that mean
    and deviation at every measured time are the measured ones. Between states the table is interpolated linearly,
    between times linearly in `ln(1 + t / t_scale)`; outside, the nearest entry holds. Where a deviation shrinks with
    time, the change has none. Conductances are cut at zero.

    Attributes:
        times: Times since programming [s], increasing, shape (time,).
        targets: Conductances that were aimed at [S], increasing, shape (state,).
        mean: Mean conductance [S], shape (time, state).
        std: Standard deviation of the conductance [S], shape (time, state).
        t_scale: Where linear interpolation in time gives way to logarithmic [s]; infinite for nowhere.

    Example:
        >>> import jax, jax.numpy as jnp, numpy as np
        >>> table = DeviceTable(
        ...     times=np.array([0.0, 3600.0]),
        ...     targets=np.array([0.0, 100e-6]),
        ...     mean=np.array([[0.0, 100e-6], [0.0, 98e-6]]),
        ...     std=np.array([[1e-6, 1e-6], [2e-6, 3e-6]]),
        ... )
        >>> device = table.device()
        >>> target, chip = jnp.full(10_000, 50e-6), jax.random.key(0)
        >>> later = device.at(device.program(target, chip), target, 3600.0, chip)
        >>> round(float(later.mean()) * 1e6, 1), round(float(later.std()) * 1e6, 1)
        (49.0, 2.5)
    """

    times: Float[Array, " time"] | np.ndarray = leaf(unit="s", low=0.0, array=True)
    targets: Float[Array, " state"] | np.ndarray = leaf(unit="S", low=0.0, array=True)
    mean: Float[Array, "time state"] | np.ndarray = leaf(unit="S", low=0.0, array=True)
    std: Float[Array, "time state"] | np.ndarray = leaf(unit="S", low=0.0, array=True)
    t_scale: float = leaf(1.0, "s", above=0.0, infinite=True)

    def device(self, read_noise: ReadNoise = _NO_READ_NOISE) -> Device:
        """Return the device of this table.

        Args:
            read_noise: Noise of each read; a table of means and deviations holds none.

        Returns:
            Device whose programming and drift are this table.
        """
        return Device(programming=self, drift=self, read_noise=read_noise)

    def program(self, target: Float[Array, "*cell"], key: Key[Array, ""]) -> Float[Array, "*cell"]:
        """Return programmed conductances [S], drawn from the first time's distribution."""
        mean, std = self._timeline(self.mean).first(target), self._timeline(self.std).first(target)
        return jnp.maximum(mean + std * standard_normal(key, target.shape, target.dtype), 0.0)

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
            std=StdSinceFirst(total=self._timeline(self.std)),
            g_max=1.0,
        )
        return law.drift(programmed, target, t, key)

    @property
    def window(self) -> float | None:
        """The largest target."""
        return least([self.targets if isinstance(self.targets, jax.core.Tracer) else np.max(self.targets)])

    def _timeline(self, values: Float[Array, "time state"] | np.ndarray) -> Timeline:
        states = jnp.broadcast_to(jnp.asarray(self.targets), values.shape)
        return Timeline(times=self.times, curve=Tabulated(states=states, values=values), t_scale=self.t_scale)

    def check(self) -> None:
        """Check that shapes fit together, and that times and targets increase.

        Raises:
            ValueError: If they do not.
        """
        shape = (np.size(self.times), np.size(self.targets))
        for name in ("mean", "std"):
            value = getattr(self, name)
            if np.shape(value) != shape:
                raise ValueError(
                    f"Field `{name}` of DeviceTable must have shape (time={shape[0]}, state={shape[1]}), "
                    f"but has shape {np.shape(value)}."
                )
        check_increasing("DeviceTable", "times", self.times)
        check_increasing("DeviceTable", "targets", self.targets)


def read_csv(path: str | Path) -> DeviceTable:
    """Read a table from a CSV file with the columns `t_s`, `target_S`, `mean_S`, `std_S`.

    One line per time and state, in any order; every time must have every state. Other columns are refused, so that a
    misspelt one is not silently lost; `spread_S`, what `std_S` was called before, is read as well.

    Args:
        path: File.

    Returns:
        The table, checked.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If columns are missing or unknown, an entry is no number, or a time lacks a state.
    """
    rows = [tuple(row) for row in read_numbers(path, "Table", _COLUMNS, renamed=_OLD_NAMES).tolist()]
    entries = {(row[0], row[1]): row[2:] for row in rows}
    times, targets = (np.array(sorted({row[axis] for row in rows})) for axis in (0, 1))
    if not rows or len(rows) != len(times) * len(targets) or len(entries) != len(rows):
        raise ValueError(
            f"Table {str(path)!r} must have one line for each of its {len(times)} times and {len(targets)} targets, "
            f"but has {len(rows)} lines, {len(entries)} of them different."
        )
    grid = np.array([[entries[t, g] for g in targets] for t in times])
    table = DeviceTable(times=times, targets=targets, mean=grid[..., 0], std=grid[..., 1])
    try:
        table.validate()
    except ValueError as error:
        raise ValueError(f"Table {str(path)!r}: {error}") from error
    return table


def write_csv(table: DeviceTable, path: str | Path) -> None:
    """Write a table as `read_csv` reads it.

    Args:
        table: The table.
        path: File; replaced as a whole.
    """
    with replacing(Path(path)) as unfinished, open(unfinished, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for k, t in enumerate(np.asarray(table.times)):
            for i, g in enumerate(np.asarray(table.targets)):
                writer.writerow([repr(float(v)) for v in (t, g, table.mean[k][i], table.std[k][i])])
