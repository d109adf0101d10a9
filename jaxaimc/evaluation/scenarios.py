"""What is evaluated: which effects of the circuit act, at what time, on how many chips."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

from jaxaimc.adcs import IdealADC
from jaxaimc.config import AnalogConfig
from jaxaimc.devices import Device, IdealDevice
from jaxaimc.units import day, format_duration, hour, month, s, year
from jaxaimc.wires import NoWires, Wires

# From a perfect wire to well past the point where small networks fail [ohm per segment].
RESISTANCES = (0.0, 0.15, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 10.0, 20.0)
TIMES = (1 * s, hour, day, month, year)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How much is evaluated.

    Args:
        examples: Test examples, from the first; None for all.
        chips: Chips that are programmed.
        batch: Examples computed at once on each chip.
        times: Times since programming at which drifted chips are read [s].
        resistances: Wire resistances of the sweep [ohm]; rows and columns alike in a mesh.
        sweep_examples: Test examples of the sweep, at most `examples`.
        layer_examples: Examples of the per-layer errors, at most `examples`.
        seed: Seed of chips and reads.

    Raises:
        ValueError: If a field is out of its range.
    """

    examples: int | None = 2000
    chips: int = 4
    batch: int = 250
    times: tuple[float, ...] = TIMES
    resistances: tuple[float, ...] = RESISTANCES
    sweep_examples: int = 500
    layer_examples: int = 250
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("examples", "chips", "batch", "sweep_examples", "layer_examples"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"Field `{name}` of Settings must be at least 1, but is {value}.")
        for name, unit in (("times", "s"), ("resistances", "ohm")):
            if not all(0 <= value < float("inf") for value in getattr(self, name)):
                raise ValueError(
                    f"Field `{name}` of Settings must hold values in [0, inf) {unit}: {getattr(self, name)}."
                )
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"Field `seed` of Settings must be in [0, 2**32), but is {self.seed}.")


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One line of the result: a config, and what is done with its chips.

    Args:
        study: `"effect"`, `"drift"` or `"resistance"`.
        name: What acts.
        config: The tile; None for the digital network.
        random: Whether chips (or their reads) differ from each other.
        t: Time of the read since programming [s]; None for right after it, without drift.
        compensated: Whether drift is compensated.
        r: Wire resistance of the sweep [ohm], None elsewhere.
        examples: Test examples, None for all that there are.
    """

    study: str
    name: str
    config: AnalogConfig | None
    random: bool
    t: float | None = None
    compensated: bool = False
    r: float | None = None
    examples: int | None = None


def effects(config: AnalogConfig) -> Iterator[Scenario]:
    """Yield the digital network, each effect of a config alone, and all together, right after programming.

    Args:
        config: The whole tile.

    Yields:
        Scenarios of the study `"effect"`. The drive's quantised pulses act in all analog ones; the second shows them
        alone.
    """
    ideal = replace(config, device=IdealDevice(), wires=NoWires(), adc=IdealADC())
    reads = Device(read_noise=config.device.read_noise)
    programming = Device(programming=config.device.programming)

    def effect(name: str, config: AnalogConfig | None, *, random: bool) -> Scenario:
        return Scenario(study="effect", name=name, config=config, random=random)

    yield effect("digital", None, random=False)
    yield effect("input pulses only", ideal, random=False)
    yield effect("ADC only", replace(ideal, adc=config.adc), random=False)
    yield effect("IR drop only", replace(ideal, wires=config.wires), random=False)
    yield effect("programming noise only", replace(ideal, device=programming), random=True)
    yield effect("read noise only", replace(ideal, device=reads), random=True)
    yield effect("everything", config, random=True)


def drifts(config: AnalogConfig, times: tuple[float, ...]) -> Iterator[Scenario]:
    """Yield everything together at several times, without and with drift compensation.

    Args:
        config: The whole tile.
        times: Times since programming [s].

    Yields:
        Scenarios of the study `"drift"`.
    """
    for t in times:
        for compensated in (False, True):
            yield Scenario(
                study="drift",
                name=f"everything, {format_duration(t)}",
                config=config,
                random=True,
                t=t,
                compensated=compensated,
            )


def resistances(config: AnalogConfig, values: tuple[float, ...], examples: int) -> Iterator[Scenario]:
    """Yield the digital network on the sweep's examples, then IR drop alone and everything together.

    Args:
        config: The whole tile.
        values: Segment resistances [ohm].
        examples: Test examples.

    Yields:
        Scenarios of the study `"resistance"`, in a mesh with rows and columns alike; none without values, or where the
        wires have no segment resistance.
    """
    if not values or _with_resistance(config.wires, 0.0) is None:
        return
    yield Scenario(study="resistance", name="digital", config=None, random=False, examples=examples)
    ideal = replace(config, device=IdealDevice(), adc=IdealADC())
    for base, name, random in ((ideal, "IR drop only", False), (config, "everything", True)):
        for r in values:
            # A float, whatever the config held, so that all values share one compilation.
            wires = cast(Wires, _with_resistance(config.wires, float(r)))
            yield Scenario(
                study="resistance",
                name=name,
                config=replace(base, wires=wires),
                random=random,
                r=float(r),
                examples=examples,
            )


def _with_resistance(wires: Any, r: float) -> Any:
    """Return the wires with another segment resistance [ohm], or None where they have none."""
    names = {field.name for field in dataclasses.fields(wires)}
    if "mesh" in names:
        return replace(wires, mesh=_with_resistance(wires.mesh, r))
    segments = names & {"r", "r_row", "r_col"}
    return replace(wires, **dict.fromkeys(segments, r)) if segments else None
