"""Calibration: ranges of converters and inputs from data, and digital corrections of a chip that has drifted."""

from jaxaimc.calibration.columns import fitted_lines
from jaxaimc.calibration.compensation import (
    ColumnCompensation,
    Compensation,
    GlobalCompensation,
    compensate_drift,
)
from jaxaimc.calibration.ranges import LeastError, NothingToCalibrateWarning, Percentile, RangeRule, has_range

__all__ = [
    "ColumnCompensation",
    "Compensation",
    "GlobalCompensation",
    "LeastError",
    "NothingToCalibrateWarning",
    "Percentile",
    "RangeRule",
    "compensate_drift",
    "fitted_lines",
    "has_range",
]
