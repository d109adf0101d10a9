import math

import pytest

from jaxaimc import units
from jaxaimc.units import format_duration, format_si


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (25e-6, "S", "25 uS"),
        (0.15, "ohm", "150 mohm"),
        (1000.0, "ohm", "1 kohm"),
        (999.0, "ohm", "999 ohm"),
        (6.24e9, "Hz", "6.24 GHz"),
        (16.03e-15, "C", "16.03 fC"),
        (-3e-9, "s", "-3 ns"),
        (1e-21, "J", "1e-06 fJ"),
        (0.0, "S", "0 S"),
        (math.inf, "V", "inf V"),
        (math.nan, "V", "nan V"),
    ],
)
def test_format_si(value, unit, text):
    assert format_si(value, unit) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (1e-6, "1 us"),
        (20.0, "20 s"),
        (60.0, "1 minute"),
        (7200.0, "2 hours"),
        (86400.0, "1 day"),
        (30 * 86400.0, "1 month"),
        (365 * 86400.0, "1 year"),
        (2 * 365 * 86400.0, "2 years"),
    ],
)
def test_format_duration(seconds, text):
    assert format_duration(seconds) == text


def test_factors_are_si():
    assert 25 * units.uS == pytest.approx(25e-6 * units.S)
    assert units.fC / units.ns == pytest.approx(units.uA * units.S / units.S)
    assert units.uA * units.us == pytest.approx(units.pC)
    assert units.V / units.kohm == pytest.approx(units.mA)
    assert units.V**2 * units.mS * units.s == pytest.approx(units.J / 1000)
    assert units.MHz * units.us == pytest.approx(1.0)
    assert units.day == 24 * units.hour == 1440 * units.minute
