"""SI units as plain factors: `25 * uS` is 25e-6 siemens. Every quantity in the API is in base SI units.

Example:
    >>> from jaxaimc.units import format_si, ns, uS
    >>> format_si(25 * uS, "S"), format_si(127 * ns, "s")
    ('25 uS', '127 ns')
"""

import math

S, mS, uS, nS = 1.0, 1e-3, 1e-6, 1e-9
ohm, kohm, Mohm = 1.0, 1e3, 1e6
V, mV = 1.0, 1e-3
A, mA, uA, nA = 1.0, 1e-3, 1e-6, 1e-9
C, pC, fC = 1.0, 1e-12, 1e-15
J, pJ, fJ = 1.0, 1e-12, 1e-15
Hz, MHz, GHz = 1.0, 1e6, 1e9
s, ms, us, ns = 1.0, 1e-3, 1e-6, 1e-9
minute, hour, day = 60.0, 3600.0, 86400.0
month, year = 30 * day, 365 * day

_PREFIXES = {-15: "f", -12: "p", -9: "n", -6: "u", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T"}


def format_si(value: float, unit: str, digits: int = 4) -> str:
    """Write a quantity with the prefix that fits its size.

    Args:
        value: Quantity in the base unit.
        unit: Symbol of the base unit, `"S"` or `"ohm"`.
        digits: Significant digits.

    Returns:
        Text such as `"25 uS"`.
    """
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {unit}"
    exponent = 3 * math.floor(math.log10(abs(value)) / 3 + 1e-12)
    exponent = min(max(exponent, -15), 12)
    return f"{value / 10**exponent:.{digits}g} {_PREFIXES[exponent]}{unit}"


def format_duration(t: float) -> str:
    """Write a time in the largest unit that is at least one: seconds, minutes, hours, days, months or years.

    Args:
        t: Time [s].

    Returns:
        Text such as `"1 day"` or `"20 s"`.
    """
    for factor, name in ((year, "year"), (month, "month"), (day, "day"), (hour, "hour"), (minute, "minute")):
        if t >= factor:
            count = t / factor
            return f"{count:.3g} {name}" + ("s" if count > 1 else "")
    return format_si(t, "s", 3)
