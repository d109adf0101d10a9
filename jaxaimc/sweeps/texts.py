"""Axes as they are written on a command line: `wires.r=0.1:10:16:log`, `adc.bits=4,6,8`."""

from collections.abc import Sequence
from typing import Any

from jaxaimc._core.component import Component
from jaxaimc.config import AnalogConfig, at
from jaxaimc.config.names import named
from jaxaimc.sweeps.axes import Axis, Range, Samples, Values

_SCALES = ("linear", "log")
_WORDS = {"true": True, "false": False}
_FORMS = "PATH=a,b,c, PATH=low:high:points or PATH=low:high:points:log"


def axes_of(texts: Sequence[str], base: AnalogConfig, samples: int | None = None, seed: int = 0) -> list[Axis]:
    """Return the axes that texts stand for.

    Args:
        texts: `PATH=a,b,c` for values (numbers, true and false, texts, or classes of parts with their defaults, such as
            devices.PCM); `PATH=low:high:points` and `PATH=low:high:points:log` for ranges. Intervals without points,
            `PATH=low:high` and `PATH=low:high:log`, are sampled together. Several paths, with commas between them, all
            get the same value.
        base: The config that the paths are of.
        samples: How many samples there are; None where nothing is sampled.
        seed: Seed of the samples.

    Returns:
        One axis per text, the samples last.

    Raises:
        ValueError: If a text is none of these, or there is something to be sampled and no number of samples or the
            other way round.

    Example:
        >>> from jaxaimc import AnalogConfig
        >>> axes_of(["wires.r=0.1:10:5:log", "rows=64,128"], AnalogConfig())
        [Range(path=('wires.r',), low=0.1, high=10.0, points=5, scale='log'), Values(path=('rows',), values=(64, 128))]
    """
    axes: list[Axis] = []
    intervals: dict[str, tuple[Any, ...]] = {}
    for text in texts:
        path, equals, spec = text.partition("=")
        paths = [one.strip() for one in path.split(",")]
        if not equals or not spec.strip() or not all(paths):
            raise ValueError(f"Argument `vary` must hold texts such as {_FORMS}, but holds {text!r}.")
        if ":" not in spec:
            axes.append(_values(paths, [entry.strip() for entry in spec.split(",")], base, text))
            continue
        *numbers, scale = [part.strip() for part in spec.split(":")]
        if scale not in _SCALES:
            numbers, scale = [*numbers, scale], "linear"
        if len(numbers) == 2:
            if len(paths) > 1:
                raise ValueError(f"Argument `vary` must sample one path in a text, but holds {text!r}.")
            if paths[0] in intervals:
                raise ValueError(f"Argument `vary` must name every path once, but names {paths[0]!r} twice.")
            intervals[paths[0]] = (*(_number(number, text) for number in numbers), scale)
        elif len(numbers) == 3:
            low, high, points = (_number(number, text) for number in numbers)
            axes.append(Range(paths, low, high, _whole(points, text), scale))  # pyright: ignore[reportArgumentType]
        else:
            raise ValueError(f"Argument `vary` must hold texts such as {_FORMS}, but holds {text!r}.")
    if intervals and samples is None:
        path, (low, high, scale) = next(iter(intervals.items()))
        ending = "" if scale == "linear" else f":{scale}"
        raise ValueError(
            f"Argument `vary` must say how many points {path!r} has, such as {path}={low:g}:{high:g}:16{ending}, or "
            "`samples` how many samples are drawn of the intervals."
        )
    if samples is not None:
        if not intervals:
            raise ValueError(
                f"Argument `samples` needs intervals to sample, such as wires.r=0.1:10 in `vary`, but is {samples} "
                "without one."
            )
        axes.append(Samples(intervals, samples, seed))
    return axes


def _values(paths: list[str], entries: list[str], base: AnalogConfig, text: str) -> Values:
    if not all(entries):
        raise ValueError(f"Argument `vary` must hold values between commas, but holds {text!r}.")
    if isinstance(at(base, paths[0]), Component):
        parts = {entry: _part(entry) for entry in entries}
        if len(parts) < len(entries):
            raise ValueError(f"Argument `vary` must hold every value once, but holds {text!r}.")
        return Values(paths, parts)
    return Values(paths, [_value(entry) for entry in entries])


def _part(name: str) -> Any:
    cls = named(name)
    try:
        return cls()
    except TypeError as error:
        raise ValueError(
            f"Argument `vary` must hold classes with a default for every field, but {name!r} needs more ({error}): set "
            "its fields in a plan file."
        ) from error


def _value(entry: str) -> Any:
    for kind in (int, float):
        try:
            return kind(entry)
        except ValueError:
            continue
    return _WORDS.get(entry.lower(), entry)


def _number(entry: str, text: str) -> float:
    try:
        return float(entry)
    except ValueError:
        raise ValueError(f"Argument `vary` must hold numbers between colons, but holds {text!r}.") from None


def _whole(points: float, text: str) -> int:
    if points != int(points):
        raise ValueError(f"Argument `vary` must hold a whole number of points, but holds {text!r}.")
    return int(points)
