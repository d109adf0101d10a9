"""One crossbar tile: `AnalogConfig` and the four verbs program, drift, prepare and mvm.

Axis names used throughout the library:
    batch: any leading axes of the inputs; rows: input lines; cols: output columns; slice: columns of different
    significance per output; polarity: devices of a cell that drive a column with different sign; plane: input pulses
    that are read one after the other; term: factors of the read noise's variance.
"""

from dataclasses import replace
from typing import Any, cast

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from jaxaimc._conversion import at_converters, readout
from jaxaimc._core.checks import check_integer, check_key, check_matrix, check_time, check_trailing
from jaxaimc._core.component import component, static
from jaxaimc._core.describe import describe
from jaxaimc._core.random import fold_in, normal
from jaxaimc._core.rounding import round_ste
from jaxaimc._core.xla import add_up, packed_product, planes_per_product, product
from jaxaimc.adcs import ADC, CCO
from jaxaimc.cells import Cell, Differential
from jaxaimc.devices import PCM, Device, NoDrift, NoProgrammingNoise
from jaxaimc.drives import PWM, Drive, Pulses
from jaxaimc.wires import Ladder, NonlinearWires, NoWires, Placement, Wires, check_residual

_HIGHEST = jax.lax.Precision.HIGHEST
# Folded into a key where conductances or currents are drawn from it as well.
_CONVERTERS = 1


@component
class AnalogConfig:
    """Everything that defines an analog tile, as a pytree whose leaves are the continuous quantities.

    Attributes:
        cell: How weights become conductances.
        device: What a memory device does to a conductance.
        wires: What the column (and row) wires do.
        drive: How inputs become pulses.
        adc: How charges become codes.
        rows: Rows of a physical tile.
        cols: Columns of a physical tile.
        column_scales: Whether each column of a tile has its own digital weight scale, or the whole matrix shares one.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxaimc import AnalogConfig, analog_matmul
        >>> y = analog_matmul(AnalogConfig(), jnp.eye(4), jnp.ones((2, 4)), jax.random.key(0))
        >>> y.shape
        (2, 4)
    """

    cell: Cell = Differential()
    device: Device = PCM()
    wires: Wires = Ladder()
    drive: Drive = PWM()
    adc: ADC = CCO()
    rows: int = static(default=512)
    cols: int = static(default=512)
    column_scales: bool = static(default=True)

    def __post_init__(self) -> None:
        check_integer("AnalogConfig", "rows", self.rows, low=1, high=65536)
        check_integer("AnalogConfig", "cols", self.cols, low=1, high=65536)

    def validate(self) -> None:
        """Check the numeric fields of every component that are known (not traced).

        Raises:
            ValueError: If a field is out of its range, or the range of the converter begins at zero where charges can
                be negative; the message names it, its value, its unit and what is allowed.
        """
        for part in (self.cell, self.device, self.wires, self.drive, self.adc):
            part.validate()
        if self.adc.unipolar and (min(self.cell.signs) < 0 or self.drive.bipolar):
            raise ValueError(
                "Field `adc` of AnalogConfig must have a range that holds negative charges, such as FullRange, where a "
                f"{type(self.cell).__name__} cell and {type(self.drive).__name__} give charges of both signs, but this "
                f"{type(self.adc).__name__} begins at zero; where weights and inputs are never negative, Span says so."
            )

    def describe(self) -> str:
        """Return every component and field with its value and unit, one per line."""
        return describe(self)


@component
class Programmed:
    """The devices of a tile: all that is kept after programming.

    Attributes:
        g: Conductance of every device now [S].
        g_programmed: Conductance of every device right after programming [S].
        g_target: Conductance that programming aimed at [S].
        scale: Weight that stands for a normalised one, per column.
        t: Time since programming [s].
        converters: What is particular to each converter of the tile; its arrays end with the axes (slice, cols).
        whole: Whether every device holds exactly zero or the cell's `g_span`.
    """

    g: Float[Array, "slice polarity rows cols"]
    g_programmed: Float[Array, "slice polarity rows cols"]
    g_target: Float[Array, "slice polarity rows cols"]
    scale: Float[Array, " cols"]
    t: Float[Array, ""]
    converters: Any = ()
    whole: bool = static(default=False)


@component
class Prepared:
    """A tile with its wires folded in: what a matrix-vector product needs, and nothing else.

    Attributes:
        matrix: Effective weight of every cell [1], signs and wires included.
        baseline: Charge of an idle column [fully driven cells].
        variance: Read-noise variance factors of every cell, seen at the output [1].
        scale: Weight that stands for a normalised one, per column; drift compensation acts here.
        converters: What is particular to each converter of the tile, as in `Programmed`.
        residual: How far the wires' own check of the matrix is off, of the largest output [1].
        network: What wires that are not linear solve at every read, with leading axes (tile, slice); None for linear
            wires. Where it is given, `matrix` serves drift compensation alone.
        whole: Whether `matrix` holds zeros and ones only; several planes then share one product.
    """

    matrix: Float[Array, "rows slice cols"]
    baseline: Float[Array, "slice cols"]
    variance: Float[Array, "term rows slice cols"]
    scale: Float[Array, " cols"]
    residual: Float[Array, "slice cols"]
    network: Any = None
    converters: Any = ()
    whole: bool = static(default=False)


def program(
    config: AnalogConfig,
    w: Float[Array, "rows cols"],
    key: Key[Array, ""],
    peak: Float[Array, ""] | float | None = None,
) -> Programmed:
    """Program weights onto a tile.

    Args:
        config: The tile.
        w: Weights, any scale; at most `config.rows` x `config.cols`.
        key: Chip key: programming draws and what is particular to each converter.
        peak: Largest weight of the matrix that this is a part of, where columns share their scale; that of `w` without
            it.

    Returns:
        The programmed devices, at time zero.

    Raises:
        ValueError: If `w` is not a finite matrix, does not fit the tile, `key` is not a single key, or a field of
            `config` is out of range.
    """
    config.validate()
    check_matrix("w", w)
    check_key("key", key)
    if w.shape[0] > config.rows or w.shape[1] > config.cols:
        raise ValueError(
            f"Argument `w` must fit a tile of {config.rows} rows x {config.cols} cols, but has shape {w.shape}; "
            "`jaxaimc.matrix` splits larger matrices over several tiles."
        )
    w = jnp.asarray(w, jnp.promote_types(jnp.result_type(w), jnp.float32))
    if config.column_scales:
        peak = jnp.max(jnp.abs(w), axis=0)
    elif peak is None:
        peak = jnp.max(jnp.abs(w))
    peak = jnp.asarray(peak, w.dtype)
    scale = jnp.broadcast_to(jnp.where(peak > 0, peak, 1.0), w.shape[1:])
    target = config.cell.encode(w / scale)
    g = config.device.programming.program(target, key)
    converters = config.adc.draw_mismatch(jax.random.fold_in(key, _CONVERTERS), target.shape[0], w.shape[1])
    return Programmed(
        g=g,
        g_programmed=g,
        g_target=target,
        scale=scale,
        t=jnp.zeros((), g.dtype),
        converters=converters,
        whole=config.cell.binary and config.device.programming == NoProgrammingNoise(),
    )


def drift(config: AnalogConfig, programmed: Programmed, t: Float[Array, ""] | float, key: Key[Array, ""]) -> Programmed:
    """Let the devices drift to a time.

    Times are counted from programming, whatever time `programmed` is at: drifting to a day is the same from any
    earlier state, and the same key gives the same devices at every time.

    Args:
        config: The tile.
        programmed: The devices, at any time.
        t: Time since programming [s].
        key: Chip key: drift exponents.

    Returns:
        The devices at time `t`.

    Raises:
        ValueError: If `t` is negative or not finite, `key` is not a single key, or a field of `config` is out of range.
    """
    config.validate()
    check_time("t", t)
    check_key("key", key)
    t = jnp.asarray(t, programmed.g.dtype)
    g = config.device.drift.drift(programmed.g_programmed, programmed.g_target, t, key)
    whole = programmed.whole and config.device.drift == NoDrift()
    return replace(programmed, g=g, t=t, whole=whole)


def prepare(config: AnalogConfig, programmed: Programmed, placement: Placement | None = None) -> Prepared:
    """Fold the wires into an effective matrix, once per programmed tile.

    Args:
        config: The tile.
        programmed: The devices.
        placement: Where the weights sit on the tile; centred along the rows by default.

    Returns:
        What `mvm` needs. Gradients are exact.

    Raises:
        ValueError: If a field of `config` is out of range.
        ConvergenceError: Outside jit, if the wires miss their own check; under jit `residual` says so.
    """
    config.validate()
    rows = programmed.g.shape[-2]
    if placement is None:
        placement = Placement(rows=config.rows, cols=config.cols, row_start=(config.rows - rows) // 2)
    span = config.cell.g_span

    def one_slice(g: Array) -> tuple[Array, tuple[Array, Array, Array, Any]]:
        seen = config.wires.effective(g, config.cell.signs, placement)
        residual = jnp.broadcast_to(jnp.asarray(seen.residual, g.dtype), g.shape[-1:])
        return seen.matrix, (seen.sensitivity, seen.baseline, residual, seen.network)

    if programmed.g.shape[0] == 1:
        # A batch axis of one would cost two copies of the tile in the layout of the scans.
        matrix, rest = one_slice(programmed.g[0])
        matrix, rest = matrix[:, None], jax.tree.map(lambda a: a[None], rest)
    else:
        matrix, rest = jax.vmap(one_slice, out_axes=(1, 0))(programmed.g)
    sensitivity, baseline, residual, network = rest
    check_residual("the tile", residual)
    noise = config.device.read_noise.variance(programmed.g, programmed.g_target, programmed.t) / span**2
    variance = jnp.moveaxis(jnp.sum(noise * sensitivity**2, axis=2), 1, 2)
    return Prepared(
        matrix=matrix / span,
        baseline=baseline / (span * config.drive.v_read),
        variance=variance,
        scale=programmed.scale,
        converters=programmed.converters,
        whole=programmed.whole and config.wires == NoWires(),
        residual=residual,
        network=jax.tree.map(lambda a: a[None], network),
    )


def mvm(
    config: AnalogConfig,
    prepared: Prepared,
    x: Float[Array, "*batch rows"],
    key: Key[Array, "*keys"] | None = None,
) -> Float[Array, "*batch cols"]:
    """Multiply input vectors with a prepared tile: drive, wires, read noise, ADC, digital scales.

    Read noise is drawn once per input vector, plane and slice at the output, with the variance that the tile's
    devices have under that vector's pulses; no matrix is drawn. That is exact in distribution without wires. With
    wires the current through a device is taken to be its conductance times the full read voltage, which drops the
    product of IR drop and noise. Measured against matrices sampled device by device, 512 rows: the standard deviation
    is right within 1 % for weights and inputs of both signs (0.15 and 1 ohm), and 23 % (39 %) too large in the worst
    case, all weights and inputs one, where the outputs themselves lose 24 % (61 %).

    Args:
        config: The tile.
        prepared: Result of `prepare`.
        x: Input vectors.
        key: Read key, needed where devices have read noise. A single key covers the whole batch; an array of keys
            whose shape is that of the leading batch axes gives each vector its own, so that results do not depend
            on how a batch is split.

    Returns:
        Output vectors, in the unit of `x @ w`. Gradients are straight-through in the roundings, exact elsewhere.

    Raises:
        ValueError: If the last axis of `x` is not the tile's rows, `key` is missing or has a wrong shape, or a field
            of `config` is out of range.
    """
    config.validate()
    check_trailing("x", x, prepared.matrix.shape[0])
    pulses = config.drive.encode(jnp.asarray(x, prepared.matrix.dtype))
    return read(config, prepared, pulses, key) * pulses.scale[..., None]


def read(
    config: AnalogConfig, prepared: Prepared, pulses: Pulses, key: Key[Array, "*keys"] | None
) -> Float[Array, "*batch cols"]:
    """Read a tile with given pulses: everything between the drive and the input scale. See `mvm`."""
    rows, slices, cols = prepared.matrix.shape
    planes = pulses.level.shape[-2]
    together = planes_per_product(rows * config.drive.digit, pulses.level.dtype) if _packs(config, prepared) else 1
    size = -(-planes // together)
    parts = [slice(first, min(first + size, planes)) for first in range(0, planes, size)]
    total = jnp.zeros((), prepared.matrix.dtype)
    for index, (part, q) in enumerate(zip(parts, _charges(config, prepared, pulses, parts), strict=True)):
        part_key = key if key is None or len(parts) == 1 else fold_in(key, index)
        q = q + prepared.baseline.reshape(slices * cols)
        if prepared.variance.shape[0]:
            q = q + _read_noise(config, prepared, _planes(pulses, part), part_key)
        total = total + _convert(config, prepared, pulses, part, q.reshape(*q.shape[:-1], slices, cols), part_key)
    drive_sum = jnp.einsum("...pr,p->...", pulses.level, pulses.significance, precision=_HIGHEST)
    return config.cell.decode(total, drive_sum) * prepared.scale


def charges(
    config: AnalogConfig, prepared: Prepared, pulses: Pulses, key: Key[Array, "*keys"] | None = None
) -> Float[Array, "*batch conversion slice cols"]:
    """Return what the converters of a tile get to see, for choosing their range.

    Args:
        config: The tile.
        prepared: Result of `prepare`.
        pulses: Result of the drive.
        key: Read key; without one there is no read noise.

    Returns:
        Charges in fully driven cells, one for every conversion.
    """
    _, slices, cols = prepared.matrix.shape
    everything = slice(0, pulses.level.shape[-2])
    q = _charges(config, prepared, pulses, [everything])[0] + prepared.baseline.reshape(slices * cols)
    if prepared.variance.shape[0] and key is not None:
        q = q + _read_noise(config, prepared, pulses, key)
    return at_converters(config.cell, config.drive, pulses, q.reshape(*q.shape[:-1], slices, cols), config.cols)


def reads_are_random(config: AnalogConfig, prepared: Prepared) -> bool:
    """Return whether a read draws random numbers, and so needs a key.

    Args:
        config: The tile.
        prepared: Result of `prepare`, here or in `jaxaimc.matrix`.

    Returns:
        Whether devices have read noise or the converter is noisy.
    """
    return prepared.variance.shape[-4] > 0 or config.adc.noisy


def analog_matmul(
    config: AnalogConfig,
    w: Float[Array, "rows cols"],
    x: Float[Array, "*batch rows"],
    key: Key[Array, ""],
    t: Float[Array, ""] | float | None = None,
) -> Float[Array, "*batch cols"]:
    """Program, drift, prepare and multiply in one differentiable call.

    Args:
        config: The tile.
        w: Weights.
        x: Input vectors.
        key: Split into a chip key and a read key.
        t: Time of the read after programming [s]; without one the devices are as programmed.

    Returns:
        Output vectors. Differentiable in `w`, `x` and every continuous leaf of `config`.

    Raises:
        ValueError: As `program` and `mvm`.
    """
    check_key("key", key)
    chip_key, read_key = jax.random.split(key)
    program_key, drift_key = jax.random.split(chip_key)
    programmed = program(config, w, program_key)
    if t is not None:
        programmed = drift(config, programmed, t, drift_key)
    return mvm(config, prepare(config, programmed), x, read_key)


def _packs(config: AnalogConfig, prepared: Prepared) -> bool:
    """Return whether all charges are whole numbers, of which a product holds several."""
    return prepared.whole and config.drive.digit > 0 and not config.drive.accumulates


def _planes(pulses: Pulses, part: slice) -> Pulses:
    """Return some of the planes."""
    return pulses._replace(level=pulses.level[..., part, :], duration=pulses.duration[..., part, :])


def _charges(
    config: AnalogConfig, prepared: Prepared, pulses: Pulses, parts: list[slice]
) -> tuple[Float[Array, "*batch plane out"], ...]:
    """Return the charges of parts of the planes, in fully driven cells, without what idle columns add."""
    rows, slices, cols = prepared.matrix.shape
    if prepared.network is not None:
        return (_solved_charge(config, prepared, pulses.level),)
    matrix = prepared.matrix.reshape(rows, slices * cols)
    if len(parts) == 1:
        return (product(pulses.level, matrix),)
    digit = config.drive.digit
    # The parts have equally many planes but for the last one, which is filled up.
    size = parts[0].stop - parts[0].start
    steps = tuple(_filled(round_ste(digit * pulses.level[..., part, :]), size) for part in parts)
    charges = packed_product(steps, matrix, rows * digit)
    return tuple(q[..., : part.stop - part.start, :] / digit for part, q in zip(parts, charges, strict=True))


def _filled(planes: Float[Array, "*batch plane rows"], size: int) -> Float[Array, "*batch size rows"]:
    """Add idle planes up to a number of planes."""
    return jnp.pad(planes, [(0, 0)] * (planes.ndim - 2) + [(0, size - planes.shape[-2]), (0, 0)])


def _solved_charge(
    config: AnalogConfig, prepared: Prepared, level: Float[Array, "*batch plane rows"]
) -> Float[Array, "*batch plane out"]:
    """Return the charges of wires that are not linear, in fully driven cells: one solve per vector, plane and slice."""
    wires = cast(NonlinearWires, config.wires)
    _, slices, cols = prepared.matrix.shape
    one = lambda network: wires.charge(network, level, config.drive.v_read)  # noqa: E731
    # Tiles side by side share no wire: each is solved by itself, and a last one's unused columns are dropped.
    charge = jax.vmap(jax.vmap(one))(prepared.network)
    charge = jnp.moveaxis(charge, (1, 0), (-3, -2)).reshape(*level.shape[:-1], slices, -1)[..., :cols]
    return charge.reshape(*level.shape[:-1], slices * cols) / config.cell.g_span


def _read_noise(
    config: AnalogConfig, prepared: Prepared, pulses: Pulses, key: Key[Array, "*keys"] | None
) -> Float[Array, "*batch plane out"]:
    terms, rows, slices, cols = prepared.variance.shape
    weight = config.device.read_noise.weight(pulses.duration) * pulses.level**2
    weight = jnp.moveaxis(weight, 0, -2).reshape(*pulses.level.shape[:-1], terms * rows)
    variance = product(weight, prepared.variance.reshape(terms * rows, slices * cols))
    # The square root has no derivative at zero, where a vector drives no row.
    noisy = variance > 0
    sigma = jnp.where(noisy, jnp.sqrt(jnp.where(noisy, variance, 1.0)), 0.0)
    return sigma * normal(key, sigma.shape, sigma.dtype, axes=2, where="devices have read noise")


def _convert(
    config: AnalogConfig,
    prepared: Prepared,
    pulses: Pulses,
    part: slice,
    q: Float[Array, "*batch plane slice cols"],
    key: Key[Array, "*keys"] | None,
) -> Float[Array, "*batch slice cols"]:
    """Digitise and add a part of the planes, or add them and digitise: a conversion per plane and slice, or slice."""
    q = at_converters(config.cell, config.drive, pulses, q, config.cols)
    seen, significance = readout(
        config.cell, config.drive, pulses, part, rows=prepared.matrix.shape[0], tile_rows=config.rows,
        converters=prepared.converters,
    )  # fmt: skip
    read_key = fold_in(key, _CONVERTERS) if config.adc.noisy and key is not None else None
    codes = config.adc.convert(q, seen, read_key)
    # One pass over the charges together with the conversion; a contraction would store the codes.
    return add_up(codes * significance[:, None, None], -3)
