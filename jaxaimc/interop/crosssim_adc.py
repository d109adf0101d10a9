"""Converters of a CrossSim configuration."""

import math
from typing import Any

import numpy as np

from jaxaimc.adcs import (
    ADC,
    BothEnds,
    Codes,
    FullRange,
    IdealADC,
    MidRise,
    MidTread,
    Nearest,
    PositiveRange,
    Range,
    Span,
    Stochastic,
    Symmetric,
    Uniform,
)
from jaxaimc.cells import Cell
from jaxaimc.drives import Drive, SignMagnitude, Signs
from jaxaimc.interop.foreign import Fields, word

_PATH = "xbar.adc.mvm"
_RANGES = {"1": "calibrated", "2": "max", "3": "granular"}
_MODELS: dict[str, Codes] = {"quantizeradc": BothEnds(), "signmagnitudeadc": MidTread(), "rampadc": MidRise()}


def converter(fields: Fields, cell: Cell, drive: Drive, g_max: float) -> ADC:
    """Return the converter.

    Args:
        fields: The configuration.
        cell: The cell, whose window is the unit of charges here.
        drive: The drive.
        g_max: Largest conductance [S], the unit of charges there.
    """
    model = fields.take(f"{_PATH}.model", "IdealADC")
    bits = fields.take(f"{_PATH}.bits", 0)
    if word(model) == "idealadc" or bits == 0:
        fields.without_effect(_PATH)
        return IdealADC()
    if word(model) not in _MODELS:
        fields.refuse(f"{_PATH}.model", model, "'IdealADC', 'QuantizerADC', 'SignMagnitudeADC' or 'RampADC'")
        fields.without_effect(_PATH)
        return IdealADC()
    if type(bits) is not int or not 2 <= bits <= 16:
        fields.refuse(f"{_PATH}.bits", bits, "a whole number of 2 to 16, or 0 for none")
        bits = 8
    ramp = word(model) == "rampadc"
    if ramp:
        for name in ("sigma_capacitor", "sigma_comparator"):
            fields.neutral(f"{_PATH}.{name}", 0.0, why="as the mismatch of `adcs.Ramp` is that of other capacitors")
        if fields.number(f"{_PATH}.gain_db", 100.0) < 100:
            fields.refuse(f"{_PATH}.gain_db", fields.take(f"{_PATH}.gain_db", 100.0), "100 or more")
    fields.without_effect(f"{_PATH}.signed", f"{_PATH}.symmetric_cdac")
    stochastic = fields.flag(f"{_PATH}.stochastic_rounding", default=False)
    if stochastic and ramp:
        fields.refuse(f"{_PATH}.stochastic_rounding", True, "false for a 'RampADC'")
    return Uniform(
        bits=float(bits),
        range=_range(fields, cell, drive, bits, g_max, symmetric=word(model) != "quantizeradc"),
        codes=_MODELS[word(model)],
        rounding=Stochastic() if stochastic else Nearest(),
    )


def _range(fields: Fields, cell: Cell, drive: Drive, bits: int, g_max: float, *, symmetric: bool) -> Range:
    value = fields.take(f"{_PATH}.adc_range_option", 1)
    option = _RANGES.get(str(value), word(value))
    given = fields.take(f"{_PATH}.calibrated_range", None)
    unit = g_max / float(cell.g_span)
    if option == "max":
        return _largest(fields, cell, drive, unit)
    if option == "granular":
        bounds = _granular(fields, cell, drive, bits)
    elif option == "calibrated":
        bounds = _calibrated(fields, cell, given)
    else:
        fields.refuse(f"{_PATH}.adc_range_option", value, "1 (calibrated), 2 (max) or 3 (granular)")
        return FullRange()
    if bounds is None:
        return FullRange()
    low, high = (unit * bound for bound in bounds)
    ends: Any = (low, high)
    even = np.allclose(low, -high, rtol=1e-6, atol=0)
    if symmetric and not even:
        fields.refuse(f"{_PATH}.calibrated_range", given, "a range about zero, as only a 'QuantizerADC' has others")
    if np.size(high) == 1:
        ends = (float(low.ravel()[0]), float(high.ravel()[0]))
    return Symmetric(limit=ends[1]) if even else Span(low=ends[0], high=ends[1])


def _signs(drive: Drive) -> Signs:
    return getattr(drive, "signs", SignMagnitude())


def _signed(cell: Cell, drive: Drive) -> bool:
    return _signs(drive) == SignMagnitude() or min(cell.signs) < 0


def _largest(fields: Fields, cell: Cell, drive: Drive, unit: float) -> Range:
    """Return the range of all rows in use at the largest conductance."""
    pairs = min(cell.signs) < 0
    if pairs and not math.isclose(unit, 1, rel_tol=2**-24):
        fields.refuse(
            f"{_PATH}.adc_range_option", 2, "1 or 3 where a pair's smallest conductance is above zero, which adds none"
        )
    if len(cell.significance) > 2 and not pairs:
        fields.refuse(f"{_PATH}.adc_range_option", 2, "1 or 3 for offset slices, whose largest range is rounded")
    widths = getattr(drive, "widths", (1,))
    if not getattr(drive, "accumulates", True) and len(set(widths)) > 1:
        fields.refuse(f"{_PATH}.adc_range_option", 2, "1 or 3 where the last slice of the input has fewer bits")
    return FullRange() if _signed(cell, drive) else PositiveRange()


def _granular(fields: Fields, cell: Cell, drive: Drive, bits: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the range whose steps are the smallest product of an input and a weight bit, in their units.

    `ymin = 2^-weight_bits`, or `1 / (2^width - 1)` for slices, times `K + 1 over K` for the input's largest integer K.
    """
    if getattr(drive, "accumulates", True):
        fields.refuse(f"{_PATH}.adc_range_option", 3, "1 or 2 where `adc_per_ibit` is false")
        return None
    weight_bits = fields.take("core.weight_bits", 0)
    inner = getattr(cell, "cell", cell)
    widths = getattr(inner, "widths", None)
    smallest = 1 / (2 ** widths[0] - 1) if widths else 2.0**-weight_bits
    largest = 2 ** sum(getattr(drive, "widths", (7,))) - 1
    smallest *= (largest + 1) / largest
    codes = 2 ** (bits - 1) - 1 if _signed(cell, drive) else 2**bits - 1
    high = np.array([[smallest * codes]])
    return (-high if _signed(cell, drive) else 0 * high), high


def _calibrated(fields: Fields, cell: Cell, given: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the given range, or that of each slice, with the axes (slice, 1)."""
    slices = len(cell.significance)
    own = slices - len(cell.shared)
    wanted = (2,) if own == 1 else (own, 2)
    try:
        bounds = np.asarray(given, float)
    except (TypeError, ValueError):
        bounds = np.zeros(0)
    if bounds.shape != wanted or not np.isfinite(bounds).all() or (bounds[..., 0] >= bounds[..., 1]).any():
        what = "[low, high]" if own == 1 else f"[low, high] for each of {own} slices"
        fields.refuse(f"{_PATH}.calibrated_range", given, what)
        return None
    # The unit column's slices have the ranges of the others.
    bounds = np.tile(bounds.reshape(own, 2), (slices // own, 1)).astype(np.float32)
    return bounds[:, :1], bounds[:, 1:]
