"""Configurations of Sandia's CrossSim, as its `CrossSimParameters.to_json` writes them.

Fields, defaults and meaning: `simulator/parameters` and `simulator/configs` of github.com/sandialabs/cross-sim,
versions 3.0 and 3.1. Its cores multiply with `W x`; the settings of the other direction, `vmm`, do nothing here.
Currents are there in units of the largest conductance, here in units of the window `g_max - g_min`.
"""

from collections.abc import Collection
from typing import Any

from jaxaimc.cells import Cell, Differential, DifferentialSlices, Offset, OffsetSlices, Quantised, TwoSided, UnitColumn
from jaxaimc.config import AnalogConfig
from jaxaimc.drives import AbsoluteMaximum, BitGroups, BitSerial, Drive, FixedRange, InputRange, Unsigned, VoltageDAC
from jaxaimc.interop.crosssim_adc import converter
from jaxaimc.interop.crosssim_device import device
from jaxaimc.interop.foreign import Fields, Imported, word
from jaxaimc.wires import Mesh, NoWires, Wires

_STYLES = {"1": "balanced", "2": "bitsliced", "3": "offset"}


def from_crosssim(source: Any, leave_out: Collection[str] = ()) -> Imported:
    """Convert a configuration of CrossSim.

    Args:
        source: Path of a JSON file that CrossSim wrote, or its content as nested dictionaries. Fields that it does not
            have take CrossSim's defaults.
        leave_out: Paths of fields, such as `xbar.array.Icol_max`, that are read as if they did nothing.

    Returns:
        The tile, and the time at which CrossSim reads it.

    Raises:
        ConversionError: If fields have no counterpart; the message lists all of them.
        FileNotFoundError: If there is no such file.
        ValueError: If `source` is no configuration or `leave_out` has a field that cannot be left out.

    Example:
        >>> found = from_crosssim({
        ...     "core": {"rows_max": 1152, "cols_max": 256, "mapping": {"inputs": {"mvm": {"min": -2.0, "max": 2.0}}}},
        ...     "xbar": {
        ...         "device": {"Rmin": 1e5, "Rmax": 1e7, "cell_bits": 7},
        ...         "dac": {"mvm": {"model": "SignMagnitudeDAC", "bits": 8, "input_bitslicing": True}},
        ...         "adc": {"mvm": {"model": "SignMagnitudeADC", "bits": 8, "calibrated_range": [-9.9, 9.9]}},
        ...     },
        ... })
        >>> found.config.drive.accumulates, found.config.cell.states, round(float(found.config.adc.range.limit), 3)
        (True, 128, 10.0)
    """
    fields = Fields("CrossSim", source, leave_out)
    _without_counterpart(fields)
    r_min = fields.number("xbar.device.Rmin", 1000.0)
    r_max = fields.number("xbar.device.Rmax", 10000.0)
    endless = fields.flag("xbar.device.infinite_on_off_ratio", default=False)
    if r_min <= 0:
        fields.refuse("xbar.device.Rmin", r_min, "greater than 0")
        r_min = 1000.0
    if not endless and r_max <= r_min:
        fields.refuse("xbar.device.Rmax", r_max, "greater than `Rmin`")
        r_max = 10 * r_min
    g_max, g_min = 1 / r_min, 0.0 if endless else 1 / r_max
    cell = _cell(fields, g_min, g_max)
    drive = _drive(fields)
    of_device, t = device(fields, g_max)
    config = {
        "cell": cell,
        "device": of_device,
        "wires": _wires(fields, r_min),
        "drive": drive,
        "adc": converter(fields, cell, drive, g_max),
        "rows": _size(fields, "core.rows_max"),
        "cols": _size(fields, "core.cols_max"),
        "column_scales": False,
    }
    fields.check()
    tile = AnalogConfig(**config)
    tile.validate()
    return Imported(config=tile, t=t, elsewhere=fields.elsewhere)


def _without_counterpart(fields: Fields) -> None:
    fields.neutral("core.complex_matrix", False)
    fields.neutral("core.complex_input", False)
    weights = "core.mapping.weights"
    fields.neutral(f"{weights}.percentile", 1.0, why="as a matrix is scaled by its largest weight")
    for name in ("min", "max"):
        fields.neutral(f"{weights}.{name}", None, why="as a matrix is scaled by its largest weight")
    for name in ("row_partition_priority", "col_partition_priority"):
        fields.neutral(f"{weights}.{name}", [])
    for name in ("row_partition_strategy", "col_partition_strategy"):
        fields.neutral(f"{weights}.{name}", 2, "EQUAL")
    fields.neutral("xbar.array.Icol_max", 0)
    fields.neutral("xbar.device.clip_conductance", False)
    fields.neutral("xbar.device.nonlinear_IV.enable", False)
    fields.without_effect(
        "simulation",
        f"{weights}.clipping",
        "core.mapping.inputs._match",
        "core.mapping.inputs.vmm",
        "xbar.device.nonlinear_IV",
        "xbar.adc._match",
        "xbar.adc.vmm",
        "xbar.dac._match",
        "xbar.dac.vmm",
    )


def _size(fields: Fields, path: str) -> int:
    size = fields.take(path, 1024)
    if isinstance(size, bool) or not isinstance(size, int) or not 0 <= size <= 65536:
        fields.refuse(path, size, "a whole number of 0 to 65536")
        return 1024
    return size or 65536


def choice(fields: Fields, path: str, names: dict[str, str], default: str) -> str:
    """Return the lower-case name of a choice that a file gives by number or by name."""
    value = fields.take(path, default)
    found = names.get(str(value), word(value))
    if found not in names.values():
        fields.refuse(path, value, " or ".join(f"{number} ({name})" for number, name in names.items()))
        return default
    return found


def _cell(fields: Fields, g_min: float, g_max: float) -> Cell:
    style = choice(fields, "core.style", _STYLES, "balanced")
    bits = fields.take("core.weight_bits", 0)
    states = fields.take("xbar.device.cell_bits", 0)
    if isinstance(states, bool) or not isinstance(states, int) or not 0 <= states <= 16:
        fields.refuse("xbar.device.cell_bits", states, "a whole number of 0 to 16")
        states = 0
    window: Any = {"g_min": g_min, "g_max": g_max}
    if style == "bitsliced":
        return _sliced(fields, bits, states, window)
    fields.without_effect("core.bit_sliced")
    if style == "offset":
        fields.without_effect("core.balanced")
        return _offset(fields, states, window)
    fields.without_effect("core.offset")
    two_sided = _balanced(fields)
    cell = TwoSided(**window) if two_sided else Differential(**window)
    if states and two_sided:
        fields.refuse("xbar.device.cell_bits", states, "0 for two-sided pairs, of which an even number has no zero")
        return cell
    return Quantised(cell=cell, states=2**states) if states else cell


def _balanced(fields: Fields) -> bool:
    if fields.take("xbar.adc.mvm.bits", 0):
        fields.neutral("core.balanced.subtract_current_in_xbar", True, why="as a pair's currents meet on a column")
    fields.without_effect("core.balanced.subtract_current_in_xbar")
    if fields.flag("xbar.array.parasitics.enable", default=False):
        fields.neutral("core.balanced.interleaved_posneg", False)
    fields.without_effect("core.balanced.interleaved_posneg")
    return choice(fields, "core.balanced.style", {"1": "onesided", "2": "twosided"}, "onesided") == "twosided"


def _sliced(fields: Fields, bits: Any, states: int, window: dict[str, float]) -> Cell:
    """Return slices whose largest digits are the largest conductance there and here."""
    kind = choice(fields, "core.bit_sliced.style", {"1": "balanced", "3": "offset"}, "balanced")
    count = fields.take("core.bit_sliced.num_slices", 2)
    whole = all(type(one) is int for one in (bits, count)) and 2 <= bits <= 16 and count >= 1
    if not whole:
        fields.refuse("core.weight_bits", bits, "a whole number of 2 to 16 for a bit-sliced core")
        bits, count = 8, 1
    unit_column = False
    if kind == "offset":
        fields.without_effect("core.balanced")
        unit_column = choice(fields, "core.offset.style", {"1": "digitaloffset", "2": "unitcolumnsubtraction"}, "")
        exact, allowed = bits % count == 0, f"a divisor of the {bits} weight bits"
        width = bits // count
    else:
        fields.without_effect("core.offset")
        if _balanced(fields):
            fields.refuse("core.balanced.style", "TWO_SIDED", "1 (onesided) for a bit-sliced core")
        # With as many slices as divide the bits, the sign included, the top slice there has a bit to spare.
        exact = (bits - 1) % count == 0 and (bits % count != 0 or count == 1)
        allowed = f"a divisor of the {bits - 1} magnitude bits and not of all {bits} bits"
        width = (bits - 1) // count
    if not exact:
        fields.refuse("core.bit_sliced.num_slices", count, allowed)
        return Differential(**window)
    if states not in (0, width):
        fields.refuse("xbar.device.cell_bits", states, f"0 or {width}, the bits of a slice")
    if kind == "balanced":
        return DifferentialSlices(bits=bits, widths=(width,) * count, **window)
    slices = OffsetSlices(bits=bits, widths=(width,) * count, **window)
    return UnitColumn(cell=slices) if unit_column == "unitcolumnsubtraction" else slices


def _offset(fields: Fields, states: int, window: dict[str, float]) -> Cell:
    """Return one device per weight; of an even number of states the lowest is not used."""
    names = {"1": "digitaloffset", "2": "unitcolumnsubtraction"}
    unit_column = choice(fields, "core.offset.style", names, "digitaloffset") == "unitcolumnsubtraction"
    if states:
        span = (window["g_max"] - window["g_min"]) * (2**states - 2) / (2**states - 1)
        if states < 2:
            fields.refuse("xbar.device.cell_bits", states, "0 or 2 to 16 for an offset core")
            return Offset(**window)
        window = {**window, "g_min": window["g_max"] - span}
    cell: Cell = Offset(**window)
    if states:
        cell = Quantised(cell=cell, states=2**states - 1)
    return UnitColumn(cell=cell) if unit_column else cell


def _drive(fields: Fields) -> Drive:
    path = "xbar.dac.mvm"
    model, bits = fields.take(f"{path}.model", "IdealDAC"), fields.take(f"{path}.bits", 0)
    signed = fields.flag(f"{path}.signed", default=True)
    sliced = fields.flag(f"{path}.input_bitslicing", default=False)
    size = fields.take(f"{path}.slice_size", 1)
    accumulates = not fields.flag("xbar.adc.mvm.adc_per_ibit", default=False)
    wanted = "signmagnitudedac" if signed else "quantizerdac"
    if word(model) != wanted:
        names = "'SignMagnitudeDAC' where `signed` is true and 'QuantizerDAC' where it is false"
        fields.refuse(f"{path}.model", model, f"{names}, as every drive here has a resolution")
    lowest = 2 if signed else 1
    if type(bits) is not int or not lowest <= bits <= 16:
        fields.refuse(f"{path}.bits", bits, f"a whole number of {lowest} to 16")
        bits = 8
    digits = bits - 1 if signed else bits
    if sliced and (type(size) is not int or not 1 <= size <= digits):
        fields.refuse(f"{path}.slice_size", size, f"a whole number of 1 to {digits}")
        size = 1
    bound = _input_range(fields, signed=signed)
    if sliced and signed:
        return BitSerial(bits=bits, group=size, accumulates=accumulates, range=bound)
    if sliced:
        return BitSerial(bits=bits, group=size, signs=Unsigned(), accumulates=accumulates, range=bound)
    return VoltageDAC(bits=bits, range=bound) if signed else BitGroups(widths=(bits,), signs=Unsigned(), range=bound)


def _input_range(fields: Fields, *, signed: bool) -> InputRange:
    path = "core.mapping.inputs.mvm"
    fields.without_effect(f"{path}.clipping")
    share = fields.take(f"{path}.percentile", None)
    if share is not None:
        fields.without_effect(f"{path}.min", f"{path}.max")
        if share != 1.0:
            fields.refuse(f"{path}.percentile", share, "null or 1.0")
        return AbsoluteMaximum()
    low, high = fields.number(f"{path}.min", -1.0), fields.number(f"{path}.max", 1.0)
    if high <= 0:
        fields.refuse(f"{path}.max", high, "greater than 0")
        high = 1.0
    if low != (-high if signed else 0.0):
        fields.refuse(f"{path}.min", low, f"{-high}, minus `max`," if signed else "0 where the inputs have no sign")
    return FixedRange(limit=high)


def _wires(fields: Fields, r_min: float) -> Wires:
    """Return the mesh; version 3.0 gives wires in units of `Rmin`, 3.1 in ohms."""
    path = "xbar.array.parasitics"
    if not fields.flag(f"{path}.enable", default=False):
        fields.without_effect(path)
        return NoWires()
    of_30 = fields.has(f"{path}.gate_input")
    if not of_30:
        fields.neutral(f"{path}.current_from_input", True)
    fields.neutral(f"{path}.gate_input", False, why="as `wires.OpenIdle` is another circuit than a gated mesh")
    fields.neutral(f"{path}.selected_rows", "top")
    unit = r_min if of_30 else 1.0
    names = {"r_row": "Rp_row", "r_col": "Rp_col", "r_row_terminal": "Rp_row_terminal"}
    names["r_col_terminal"] = "Rp_col_terminal"
    found: dict[str, Any] = {name: unit * fields.number(f"{path}.{theirs}", 0.0) for name, theirs in names.items()}
    for name, value in found.items():
        if not 0 <= value <= 1e9:
            fields.refuse(f"{path}.{names[name]}", value / unit, "0 or greater, and at most 1 gigaohm")
    fields.elsewhere["core.rows_max"] = "rows and cols of the config set to those of the matrix: unused lines are wire"
    return Mesh(**found)
