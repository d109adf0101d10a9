"""The cost of a matrix on tiles, from its devices and its inputs."""

import math
import warnings
from dataclasses import replace

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.arguments import as_real, check_trailing
from jaxaimc._core.checks import is_traced
from jaxaimc.adcs import Readout
from jaxaimc.config import AnalogConfig
from jaxaimc.cost.hardware import Hardware
from jaxaimc.cost.load import Load, load
from jaxaimc.cost.part import CostPart
from jaxaimc.cost.result import Area, Cost, Energy
from jaxaimc.tile import Prepared, Programmed, prepare
from jaxaimc.tile.checks import check_prepared, check_programmed
from jaxaimc.units import format_si

_DEFAULT = Hardware()


class AssumedCostWarning(UserWarning):
    """A cost that rests on values which nobody measured."""


class InvalidCostWarning(UserWarning):
    """A cost outside the range in which the source of a part vouches for it."""


def of_tile(
    config: AnalogConfig,
    programmed: Programmed,
    inputs: Float[Array, "*batch n_in"],
    hardware: Hardware = _DEFAULT,
    *,
    vectors: Float[Array, ""] | float = 1.0,
    prepared: Prepared | None = None,
) -> Cost:
    """Return what an inference costs in a matrix on tiles.

    Energy follows from the tensors: pulses of every row, conductances of every device, charges of every conversion, and
    the power that supplies deliver to devices and wires (`jaxaimc.wires.Wires.supply_power`). It is that of one vector,
    mean over the inputs, times `vectors`. All tiles of the matrix read a vector at once, one vector after the other; a
    read is the pulses of all planes, each with settling and the conversion of the columns that share a converter, then
    the digital unit; with `Hardware.pipelined` the longest of the three counts.

    Differentiable in every leaf of `config` and `hardware` and in the devices, exactly but for three things: roundings
    of the inputs are straight-through, numbers of pulses have no derivative, and the gradient of the longer of two
    times is that of the longer one. Works under `jax.jit` and `jax.vmap`.

    Not counted: networks on chip, memory outside of it, clocks, leakage, programming, and what is computed digitally in
    the place of a conversion (`jaxaimc.adcs.Hybrid`).

    Args:
        config: The tile.
        programmed: The devices, from `jaxaimc.program` or `jaxaimc.drift`.
        inputs: Examples of input vectors; a few dozen suffice.
        hardware: What tiles are made of.
        vectors: Vectors of an inference.
        prepared: Result of `jaxaimc.prepare(config, programmed)`, where there is one already.

    Returns:
        The cost.

    Raises:
        ValueError: If a field of `config` or `hardware` is out of range, `programmed` has other cells or tiles, or
            `inputs` holds no vector of the matrix's rows.
        ConvergenceError: As `jaxaimc.prepare`.

    Warns:
        AssumedCostWarning: If values are assumed rather than measured or fitted; `Cost.remarks` says which.
        InvalidCostWarning: If a part is used outside the range of its source; `Cost.notes()` says which. Not under jit.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxaimc import presets, program
        >>> config = presets.isaac()
        >>> chip = program(config, jnp.ones((128, 16)), jax.random.key(0))
        >>> with warnings.catch_warnings(action="ignore"):
        ...     cost = of_tile(config, chip, jnp.ones((1, 128)))
        >>> int(cost.conversions), int(cost.macs)
        (2176, 2048)
    """
    config.validate()
    hardware.validate()
    check_programmed(config, programmed)
    inputs = as_real("inputs", inputs)
    check_trailing("inputs", inputs, programmed.n_in, "n_in")
    if not inputs.size:
        raise ValueError(f"Argument `inputs` must hold an input vector, but has shape {inputs.shape}.")
    if prepared is None:
        prepared = prepare(config, programmed)
    check_prepared(config, prepared)
    cost = quiet_of_tile(config, programmed, prepared, inputs.reshape(-1, inputs.shape[-1]), hardware, vectors)
    warn_of(cost)
    return cost


def warn_of(cost: Cost, stacklevel: int = 3) -> None:
    """Warn of what to know of a cost.

    Args:
        cost: The cost.
        stacklevel: As for `warnings.warn`.
    """
    assumed = [remark for remark in cost.remarks if remark.startswith("assumed")]
    for remark in assumed:
        warnings.warn(f"{remark[0].upper()}{remark[1:]}.", AssumedCostWarning, stacklevel=stacklevel)
    if not is_traced(cost.outside):
        for note in cost.notes()[: -len(cost.remarks) or None]:
            warnings.warn(f"{note}.", InvalidCostWarning, stacklevel=stacklevel)


def quiet_of_tile(
    config: AnalogConfig,
    programmed: Programmed,
    prepared: Prepared,
    inputs: Float[Array, "vector n_in"],
    hardware: Hardware,
    vectors: Float[Array, ""] | float,
) -> Cost:
    """Return the cost without a look at arguments and without warnings; see `of_tile`.

    Args:
        config: The tile.
        programmed: The devices.
        prepared: The same, wires folded in.
        inputs: Input vectors.
        hardware: What tiles are made of.
        vectors: Vectors of an inference.
    """
    cost = _of_tile(config, programmed, prepared, inputs, hardware, vectors)
    # Not within the compiled function, where no value is known: whether they are those of the sources is said here.
    return replace(cost, remarks=_remarks(config, hardware, inputs))


@jax.jit
def _of_tile(
    config: AnalogConfig,
    programmed: Programmed,
    prepared: Prepared,
    x: Float[Array, "vector n_in"],
    hardware: Hardware,
    vectors: Float[Array, ""] | float,
) -> Cost:
    dtype = programmed.g.dtype
    does = load(config, programmed, prepared, x, hardware.counter)
    tiles = programmed.g.shape[0] * programmed.g.shape[1]
    bits = jnp.asarray(hardware.default_bits if does.bits is None else does.bits, dtype)
    quantities = {} if config.adc.counting else {"bits": bits}
    outside = {}
    for part in _used_parts(config, hardware, x).values():
        outside |= part.outside(quantities)
    vectors = jnp.asarray(vectors, dtype)
    times_vectors = lambda value: vectors * jnp.asarray(value, dtype)  # noqa: E731
    return Cost(
        energy=jax.tree.map(times_vectors, _energy(config, hardware, does, programmed, bits)),
        area=jax.tree.map(lambda area: tiles * jnp.asarray(area, dtype), _area(config, hardware, does, bits)),
        latency=times_vectors(_latency(config, hardware, does, bits, programmed.g.shape[-1])),
        conversions=times_vectors(does.conversions),
        macs=times_vectors(programmed.n_in * programmed.n_out // programmed.groups),
        tiles=jnp.asarray(tiles, dtype),
        reads=times_vectors(len(does.steps)),
        outside=jnp.stack(list(outside.values())) if outside else jnp.zeros((0,), bool),
        limits=tuple(outside),
    )


def _physical_columns(config: AnalogConfig, outputs: int | None = None) -> int:
    """Return the columns of a tile, or those for some outputs: one for each output and slice, shared slices once."""
    slices, shared = len(config.cell.significance), len(config.cell.shared)
    return (outputs or config.cols) * (slices - shared) + shared


def _columns_per_converter(config: AnalogConfig, hardware: Hardware) -> int:
    return hardware.columns_per_converter or config.adc.columns_served


def _converters(config: AnalogConfig, hardware: Hardware) -> int:
    """Return the converters of a tile."""
    return math.ceil(_physical_columns(config) / _columns_per_converter(config, hardware))


def _bits_of_planes(does: Load, hardware: Hardware) -> list[Float[Array, ""] | float]:
    """Return the bits of each plane's amplitudes."""
    return [math.log2(steps + 1) if steps else hardware.default_bits for steps in does.steps]


def _energy(
    config: AnalogConfig, hardware: Hardware, does: Load, programmed: Programmed, bits: Float[Array, ""]
) -> Energy:
    """Return the energy of a vector."""
    cells = _physical_columns(config) * len(config.cell.signs)
    v_read = config.drive.v_read
    if does.timed:
        steps = jnp.sum(does.on * jnp.asarray(does.steps, does.on.dtype))
        dac = hardware.pulse.energy(jnp.sum(does.pulses), steps)
    else:
        bits_of_planes = zip(does.steps, _bits_of_planes(does, hardware), strict=True)
        each = [0.0 if steps == 1 else hardware.dac.energy(own) for steps, own in bits_of_planes]
        dac = sum((n * energy for n, energy in zip(does.pulses, each, strict=True)), jnp.zeros(()))
    wires = hardware.driver.energy(jnp.sum(does.pulses), jnp.sum(does.square), cells, v_read)
    converting = does.conversions * hardware.adc.energy(bits) if does.counting is None else does.counting
    tile_rows, tile_cols = programmed.g.shape[:2]
    return Energy(
        array=does.supply,
        driver=wires + hardware.driver.lost(does.supply),
        dac=dac,
        adc=converting,
        accumulator=hardware.accumulator.energy(does.conversions),
        buffer=hardware.buffer.energy(programmed.n_in * tile_cols, programmed.n_out),
        digital=hardware.digital.energy(tile_rows * programmed.n_out // programmed.groups),
    )


def _area(config: AnalogConfig, hardware: Hardware, does: Load, bits: Float[Array, ""]) -> Area:
    """Return the area of a tile."""
    devices = config.rows * _physical_columns(config) * len(config.cell.signs)
    converters = _converters(config, hardware)
    if does.timed:
        dac = hardware.pulse.area()
    else:
        widest = max(range(len(does.steps)), key=lambda plane: does.steps[plane])
        dac = 0.0 if does.steps[widest] == 1 else hardware.dac.area(_bits_of_planes(does, hardware)[widest])
    return Area(
        array=hardware.array.area(devices),
        driver=config.rows * hardware.driver.area(),
        dac=config.rows * dac,
        adc=converters * (hardware.counter.area() if config.adc.counting else hardware.adc.area(bits)),
        accumulator=hardware.accumulator.area(converters),
        buffer=hardware.buffer.area(config.rows, config.cols),
        digital=hardware.digital.area(),
    )


def _latency(
    config: AnalogConfig, hardware: Hardware, does: Load, bits: Float[Array, ""], columns: int
) -> Float[Array, ""]:
    """Return the time of a vector."""
    pulses = jnp.sum(does.duration + hardware.driver.settling())
    one = hardware.counter.delay() if config.adc.counting else hardware.adc.delay(bits, config.rows)
    conversions = (
        jnp.sum(does.in_sequence)
        * min(_columns_per_converter(config, hardware), _physical_columns(config, columns))
        * one
    )
    digital = hardware.digital.delay(columns)
    if hardware.pipelined:
        return jnp.maximum(jnp.maximum(pulses, conversions), digital)
    return pulses + conversions + digital


def _used_parts(config: AnalogConfig, hardware: Hardware, x: Float[Array, "vector n_in"]) -> dict[str, CostPart]:
    """Return the parts that a configuration has a use for, by field."""
    pulses = jax.eval_shape(config.drive.encode, jax.ShapeDtypeStruct(x.shape, x.dtype))
    idle = {"adc" if config.adc.counting else "counter", "dac" if pulses.timed else "pulse"}
    if set(pulses.steps) == {1}:
        idle.add("dac")
    return {name: part for name, part in hardware.parts().items() if name not in idle}


def _remarks(config: AnalogConfig, hardware: Hardware, x: Float[Array, "vector n_in"]) -> tuple[str, ...]:
    """Return what to know of the numbers."""
    used = _used_parts(config, hardware, x)

    def named(basis: str) -> str:
        return ", ".join(f"{name} ({type(part).__name__})" for name, part in used.items() if part.basis == basis)

    remarks = []
    if assumed := named("assumed"):
        remarks.append(f"assumed, not measured or fitted, are the values of {assumed}")
    if (
        not config.adc.counting
        and config.adc.resolution(Readout(unit_charge=jnp.ones(()), rows=1, tile_rows=1)) is None
    ):
        remarks.append(f"assumed is the resolution of {type(config.adc).__name__}, which has none: `default_bits`")
    if own := named("own values"):
        remarks.append(f"values other than those of the source have {own}")
    nodes = sorted({part.source.node for part in used.values() if part.source.node is not None})
    if len(nodes) > 1:
        ends = " to ".join(format_si(node, "m") for node in (nodes[0], nodes[-1]))
        remarks.append(f"technologies from {ends} are mixed, none is scaled")
    remarks.append(f"supply power is {config.wires.supply_model}")
    return tuple(remarks)
