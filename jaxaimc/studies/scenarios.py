"""What is measured: which effects of a circuit act, what is set otherwise, at what time, on how many examples."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from jaxaimc._core.checks import check_integer, shown
from jaxaimc.adcs import IdealADC
from jaxaimc.config import AnalogConfig, with_at
from jaxaimc.config.by_rule import Configs, content_of, each, parts_of
from jaxaimc.units import day, format_duration, hour, month, s, year
from jaxaimc.wires import NoWires

# From a perfect wire to well past the point where small networks fail [ohm per segment].
RESISTANCES = (0.0, 0.15, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 10.0, 20.0)
TIMES = (1 * s, hour, day, month, year)

_DEVICE = ("programming", "drift", "read_noise")
# What can act beside the drive's quantised pulses, which always do.
EFFECTS = ("wires", "adc", *_DEVICE)
_LARGEST = 3.4e38  # what float32 can hold


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How much is evaluated. Values that are named twice count once.

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
            if name != "examples" or self.examples is not None:
                check_integer("Settings", name, getattr(self, name), low=1)
        for name, unit in (("times", "s"), ("resistances", "ohm")):
            values = getattr(self, name)
            try:
                fits = all(0 <= value < _LARGEST for value in values)
            except TypeError as error:
                raise ValueError(
                    f"Field `{name}` of Settings must be a tuple of numbers [{unit}], but is {shown(values)}."
                ) from error
            if not fits:
                raise ValueError(
                    f"Field `{name}` of Settings must hold values in [0, inf) {unit} that float32 can hold, but is "
                    f"{shown(values)}."
                )
            # A float, whatever was given, so that 1 and 1.0 are one value and all share one compilation.
            object.__setattr__(self, name, tuple(dict.fromkeys(abs(float(value)) for value in values)))
        check_integer("Settings", "seed", self.seed, low=0, high=2**32 - 1)


@dataclass(frozen=True, kw_only=True)
class Scenario:
    """One line of the result: a config, what is set in it, what of it acts, and what is done with its chips.

    Args:
        study: Group of scenarios that belong together, such as `"effect"`, `"drift"` or `"resistance"`.
        name: What acts, for a reader.
        base: The tile to start from, or configs by rule; None for the digital network.
        sets: Values of some of its fields by path, such as `{"wires.r": 3.0}`; of configs by rule, of all.
        acting: Which of `EFFECTS` act; the others are replaced by their ideals.
        random: Whether chips (or their reads) differ from each other; only one chip is reported where they do not.
        t: Time of the read since programming [s]; None for right after it, without drift.
        compensated: Whether drift is compensated.
        examples: Test examples, None for all that there are.
        layers: Whether the output error of each layer is measured too.
        digital: Paths of layers that stay digital.
        r: Wire resistance that is set [ohm per segment], for tables and figures; None elsewhere.

    Raises:
        ValueError: If an effect has no such name.
    """

    study: str
    name: str
    base: Configs | None = None
    sets: Mapping[str, Any] = field(default_factory=dict)
    acting: tuple[str, ...] = EFFECTS
    random: bool = True
    t: float | None = None
    compensated: bool = False
    examples: int | None = None
    layers: bool = False
    digital: tuple[str, ...] = ()
    r: float | None = None

    def __post_init__(self) -> None:
        unknown = [name for name in self.acting if name not in EFFECTS]
        if unknown:
            raise ValueError(
                f"Field `acting` of Scenario must hold names among {', '.join(EFFECTS)}, but holds {unknown[0]!r}."
            )

    @property
    def config(self) -> Configs | None:
        """The tile, or configs by rule, with everything set, ideals for what does not act; None for digital networks.

        Raises:
            ValueError: If the tile has no field at a path.
        """
        if self.base is None:
            return None
        return each(self.base, self._changed)

    def _changed(self, config: AnalogConfig) -> AnalogConfig:
        config = with_at(config, self.sets)
        parts = [part for part in _DEVICE if part in self.acting]
        return replace(
            config,
            wires=config.wires if "wires" in self.acting else NoWires(),
            adc=config.adc if "adc" in self.acting else IdealADC(),
            device=config.device if len(parts) == len(_DEVICE) else config.device.only(*parts),
        )

    def facts(self) -> dict[str, Any]:
        """Return what the result follows from, beside network, data and number of chips, as JSON values."""
        config = self.config
        return {
            "study": self.study,
            "name": self.name,
            "config": None if config is None else content_of(config),
            "sets": dict(self.sets),
            "random": self.random,
            "t": self.t,
            "compensated": self.compensated,
            "examples": self.examples,
            "layers": self.layers,
            # Left out where there are none, so that results of studies that know of none are found.
            **({"digital": sorted(self.digital)} if self.digital else {}),
        }


def standard(config: Configs, settings: Settings, examples: int) -> list[Scenario]:
    """Return the scenarios of the standard study: effects, drift, wire resistance.

    Args:
        config: The whole tile, or configs by rule.
        settings: How much is evaluated.
        examples: Test examples that there are.
    """
    sweep = min(settings.sweep_examples, examples)
    return [
        *effects(config),
        *drifts(config, settings.times),
        *wire_resistances(config, settings.resistances, sweep),
    ]


def effects(config: Configs) -> Iterator[Scenario]:
    """Yield the digital network, each effect of a config alone, and all together, right after programming.

    Args:
        config: The whole tile, or configs by rule.

    Yields:
        Scenarios of the study `"effect"`. The drive's quantised pulses act in all analog ones; the second shows them
        alone.
    """
    yield Scenario(study="effect", name="digital", random=False)
    for name, acting, random in (
        ("input pulses only", (), False),
        ("ADC only", ("adc",), False),
        ("IR drop only", ("wires",), False),
        ("programming noise only", ("programming",), True),
        ("read noise only", ("read_noise",), True),
        ("everything", EFFECTS, True),
    ):
        yield Scenario(study="effect", name=name, base=config, acting=acting, random=random, layers=True)


def drifts(config: Configs, times: tuple[float, ...]) -> Iterator[Scenario]:
    """Yield everything together at several times, without and with drift compensation.

    Args:
        config: The whole tile, or configs by rule.
        times: Times since programming [s].

    Yields:
        Scenarios of the study `"drift"`.
    """
    for t in times:
        for compensated in (False, True):
            name = f"everything, {format_duration(t)}"
            yield Scenario(study="drift", name=name, base=config, t=t, compensated=compensated)


def wire_resistances(config: Configs, values: tuple[float, ...], examples: int) -> Iterator[Scenario]:
    """Yield the digital network on the sweep's examples, then IR drop alone and everything together.

    Args:
        config: The whole tile, or configs by rule.
        values: Segment resistances [ohm].
        examples: Test examples.

    Yields:
        Scenarios of the study `"resistance"`, in a mesh with rows and columns alike; none without values, or where the
        wires have no segment resistance, or not all layers have the same kind of wires.
    """
    names, *others = [part.wires.resistances for part in parts_of(config)]
    if not values or not names or any(other != names for other in others):
        return
    yield Scenario(study="resistance", name="digital", random=False, examples=examples)
    for name, acting, random in (("IR drop only", ("wires",), False), ("everything", EFFECTS, True)):
        for r in values:
            yield Scenario(
                study="resistance",
                name=name,
                base=config,
                sets={f"wires.{segment}": r for segment in names},
                acting=acting,
                random=random,
                r=r,
                examples=examples,
            )
