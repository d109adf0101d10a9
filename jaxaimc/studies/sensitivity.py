"""Which layer and which effect of a chip cost a network its score, and which layers are worth keeping digital."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from jaxaimc import nn
from jaxaimc._core.checks import check_number, shown
from jaxaimc.config import AnalogConfig
from jaxaimc.presets import tile_circuit
from jaxaimc.studies.results import Memory, Row, Store, summarise
from jaxaimc.studies.run import Progress, Study
from jaxaimc.studies.scenarios import Scenario, Settings, effects
from jaxaimc.tasks import Task, load_model

One = Literal["analog", "digital"]
_EVERYTHING = "everything"
_DIGITAL = Scenario(study="sensitivity", name="digital", random=False)


@dataclass(frozen=True)
class Sensitivity:
    """What each layer costs, and what keeping layers digital buys.

    Args:
        metric: Name of the metric.
        digital: Score of the digital network on these examples.
        tolerance: How far below it a network may be that counts as equally good.
        rows: One row per layer and effect: layer, effect, examples, chips, mean and std (None for one chip) of the
            score, and loss. With one layer analog, the loss is the digital score less the mean; with one digital, it is
            the mean less that of the chip with all layers, which is what the layer costs there. Where lower scores are
            better (the digital network's is below that of guessing), it is the other way round.
        exemptions: One row per number of layers that are kept digital, the most damaging first: kept (their number),
            layer (the one that was added last; None for none), examples, chips, mean, std, and loss against the digital
            score. The last row is the digital network.
    """

    metric: str
    digital: float
    tolerance: float
    rows: list[Row]
    exemptions: list[Row]

    @property
    def exempt(self) -> tuple[str, ...]:
        """The fewest layers, by damage, with which the score is within the tolerance of the digital one."""
        enough = next(row["kept"] for row in self.exemptions if row["loss"] <= self.tolerance)
        return tuple(row["layer"] for row in self.exemptions[1 : enough + 1])

    def worst(self, effect: str | None = None) -> Row:
        """Return the row with the largest loss.

        Args:
            effect: Of this effect; None for all of them but everything together.

        Raises:
            ValueError: If there is no row of such an effect.
        """
        alone = [row for row in self.rows if row["effect"] != _EVERYTHING] or self.rows
        rows = alone if effect is None else [row for row in self.rows if row["effect"] == effect]
        if not rows:
            known = ", ".join(dict.fromkeys(repr(row["effect"]) for row in self.rows))
            raise ValueError(f"Argument `effect` must be one of {known}, but is {effect!r}.")
        return max(rows, key=lambda row: row["loss"])


def sensitivity(
    task: Task,
    config: AnalogConfig | None = None,
    *,
    model: nn.Module | None = None,
    one: One = "analog",
    pattern: str = ".*",
    names: Sequence[str] | None = None,
    tolerance: float = 0.01,
    examples: int | None = 250,
    chips: int = 2,
    batch: int = 250,
    seed: int = 0,
    store: Store | None = None,
    progress: Progress | None = None,
) -> Sensitivity:
    """Measure which layer and which effect of a chip cost a network its score.

    Every layer is put on the chip alone, under each effect alone and all together. Then the layers are kept digital one
    after the other, the most damaging under everything first, until all are. Right after programming, on the same chips
    and reads throughout: a layer's chip does not depend on what the others are, so that differences are the layers'.

    The cost is bounded: (layers + 1) x (effects + 1) scenarios of at most `examples` x `chips` network passes, and a
    handful of compilations, as which layers are digital is a value. What is finished is kept in the store.

    Args:
        task: Network, data and metric.
        config: The tile of every layer; `presets.tile_circuit()` by default.
        model: Trained network; the task's own by default.
        one: What one layer is while the others are the converse: `"analog"` finds what a layer costs by itself,
            `"digital"` what is gained by it where the others are on the chip.
        pattern: Regular expression that the whole path of a layer must match. Layers that it does not match are digital
            throughout.
        names: Effects, some of those of `jaxaimc.studies.scenarios.effects`; all by default. Everything together is
            always measured, as exemptions follow from it.
        tolerance: Loss against the digital score that is accepted, in the metric's unit.
        examples: Test examples, from the first; None for all.
        chips: Chips that are programmed.
        batch: Examples computed at once on each chip.
        seed: Seed of chips and reads.
        store: Where finished scenarios are kept, and not computed again; in memory by default.
        progress: Called during and after every scenario; its counts begin anew for all layers together, one layer, and
            the exemptions.

    Returns:
        Losses by layer and effect, and the layers that are worth exempting.

    Raises:
        ValueError: If an argument is out of range, no layer matches, a layer is a stack, or the config does not fit
            the network.
        FileNotFoundError: If the task's data or weights are missing.

    Example:
        >>> from jaxaimc.studies import sensitivity
        >>> from jaxaimc.tasks import load_task
        >>> task = load_task("jaxaimc_models.vit:fashion_mnist")
        >>> found = sensitivity(task, pattern="head|blocks/2/mlp_out", names=(), examples=8, chips=1)
        >>> [row["kept"] for row in found.exemptions], len(found.rows)
        ([0, 1, 2], 2)
    """
    if one not in get_args(One):
        raise ValueError(f"Argument `one` must be one of {get_args(One)}, but is {shown(one)}.")
    check_number("sensitivity", "tolerance", tolerance, low=0.0)
    config = tile_circuit() if config is None else config
    model = load_model(task) if model is None else model
    settings = Settings(examples=examples, chips=chips, batch=batch, times=(), resistances=(), seed=seed)
    store = Memory() if store is None else store
    acting = _chosen(config, names)
    paths = [product.path for product in nn.products(nn.convert(model, config)) if product.analog]
    layers = _matching(paths, pattern)

    def measured(scenarios: Sequence[Scenario]) -> list[Row]:
        study = Study(task, model, scenarios, settings)
        study.run(store, progress)
        found = study.finished(store)
        return [summarise(found[key].scores)[0] for key in study.keys]

    def on_chip(effect: Scenario, what: str, analog: Sequence[str]) -> Scenario:
        """Return a scenario with some layers on the chip."""
        if not analog:
            return _DIGITAL
        digital = tuple(path for path in paths if path not in analog)
        return replace(effect, study=_DIGITAL.study, name=f"{effect.name}, {what}", layers=False, digital=digital)

    def alone(effect: Scenario, layer: str) -> Scenario:
        analog = [layer] if one == "analog" else [path for path in layers if path != layer]
        return on_chip(effect, f"{layer} {one}", analog)

    digital, *whole = measured([_DIGITAL, *(on_chip(effect, "all layers analog", layers) for effect in acting)])
    # A trained network is better than guessing: its score says in which direction that is.
    upwards = 1.0 if digital["mean"] >= task.chance else -1.0
    pairs = [(effect, layer) for effect in acting for layer in layers]
    together = {effect.name: row["mean"] for effect, row in zip(acting, whole, strict=True)}
    rows = []
    for (effect, layer), row in zip(pairs, measured([alone(*pair) for pair in pairs]), strict=True):
        loss = digital["mean"] - row["mean"] if one == "analog" else row["mean"] - together[effect.name]
        rows.append({"layer": layer, "effect": effect.name, **_measures(row), "loss": upwards * loss})
    damage = {row["layer"]: row["loss"] for row in rows if row["effect"] == _EVERYTHING}
    # Of equally damaging layers, the first in the order of their paths.
    ordered = sorted(layers, key=lambda layer: -damage[layer])
    everything = next(effect for effect in acting if effect.name == _EVERYTHING)
    steps = [on_chip(everything, "all layers analog", layers)]
    steps += [on_chip(everything, f"{kept} digital", ordered[kept:]) for kept in range(1, len(ordered) + 1)]
    exemptions = [
        {"kept": kept, "layer": layer, **_measures(row), "loss": upwards * (digital["mean"] - row["mean"])}
        for kept, (layer, row) in enumerate(zip([None, *ordered], measured(steps), strict=True))
    ]
    return Sensitivity(task.metric, digital["mean"], tolerance, rows, exemptions)


def _chosen(config: AnalogConfig, names: Sequence[str] | None) -> list[Scenario]:
    """Return the scenarios of some effects, everything together among them."""
    every = {scenario.name: scenario for scenario in effects(config) if scenario.base is not None}
    for name in names or ():
        if name not in every:
            known = ", ".join(map(repr, every))
            raise ValueError(f"Argument `names` must hold effects among {known}, but holds {shown(name)}.")
    return [scenario for name, scenario in every.items() if names is None or name in (*names, _EVERYTHING)]


def _matching(paths: Sequence[str], pattern: str) -> list[str]:
    found = [path for path in paths if re.fullmatch(pattern, path)]
    if not found:
        raise ValueError(
            f"Argument `pattern` must match an analog layer, but {pattern!r} matches none of: {', '.join(paths)}."
        )
    return found


def _measures(row: Row) -> dict[str, Any]:
    return {name: row[name] for name in ("examples", "chips", "mean", "std")}
