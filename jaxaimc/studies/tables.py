"""The results of an evaluation as text tables."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from jaxaimc import nn
from jaxaimc.config.by_rule import Configs, parts_of
from jaxaimc.cost.result import format_mm2
from jaxaimc.studies.results import Evaluation, Row
from jaxaimc.studies.sensitivity import Sensitivity
from jaxaimc.units import format_duration, format_si


def tables(evaluation: Evaluation) -> Iterator[Table]:
    """Yield all tables of an evaluation that have rows.

    Args:
        evaluation: What was measured.

    Yields:
        Effects, drift, wire resistance, errors of the layers.
    """
    summary = evaluation.summary()
    if any(row["study"] == "effect" for row in summary):
        yield effect_table(evaluation.metric, summary)
    if any(row["study"] == "drift" for row in summary):
        yield drift_table(evaluation.metric, summary)
    if any(row["study"] == "resistance" for row in summary):
        yield resistance_table(evaluation.metric, summary)
    if evaluation.layers:
        yield layer_table(evaluation.layers)


def effect_table(metric: str, summary: Sequence[Row]) -> Table:
    """Make the table of what each effect alone does, and all together.

    Args:
        metric: Name of the metric.
        summary: Rows of `jaxaimc.studies.summarise`.

    Returns:
        A row per effect: the metric and its change against the digital network.
    """
    table = _table("Effects, right after programming", "effect", metric, "against digital")
    rows = [row for row in summary if row["study"] == "effect"]
    digital = digital_score(rows)
    for row in rows:
        change = "" if digital is None or row["name"] == "digital" else f"{row['mean'] - digital:+.4f}"
        table.add_row(Text(row["name"]), _value(row), change, style="bold" if row["name"] == "everything" else None)
    table.caption = _caption(rows)
    return table


def drift_table(metric: str, summary: Sequence[Row]) -> Table:
    """Make the table of everything together over time.

    Args:
        metric: Name of the metric.
        summary: Rows of `jaxaimc.studies.summarise`.

    Returns:
        A row per time since programming, without and with drift compensation.
    """
    table = _table("Everything, after a time", "time", f"{metric}, not compensated", f"{metric}, compensated")
    rows = [row for row in summary if row["study"] == "drift"]
    for t in _distinct(row["t"] for row in rows):
        at_t = {row["compensated"]: row for row in rows if row["t"] == t}
        table.add_row(format_duration(t), _value(at_t.get(False)), _value(at_t.get(True)))
    table.caption = _caption(rows)
    return table


def resistance_table(metric: str, summary: Sequence[Row]) -> Table:
    """Make the table of the metric over the resistance of a wire segment.

    Args:
        metric: Name of the metric.
        summary: Rows of `jaxaimc.studies.summarise`.

    Returns:
        A row per resistance: IR drop alone, and everything together.
    """
    rows = [row for row in summary if row["study"] == "resistance"]
    names = _distinct(row["name"] for row in rows if row["r"] is not None)
    table = _table("Wire resistance, right after programming", "per segment", *(f"{metric}, {name}" for name in names))
    for r in _distinct(row["r"] for row in rows if row["r"] is not None):
        at_r = {row["name"]: row for row in rows if row["r"] == r}
        table.add_row(f"{r:g} ohm", *(_value(at_r.get(name)) for name in names))
    digital = digital_score(rows)
    table.caption = _caption(rows) + ("" if digital is None else f"; digital on these: {digital:.4f}")
    return table


def layer_table(layers: Sequence[Row]) -> Table:
    """Make the table of the output error of every layer.

    Args:
        layers: Layer rows of an evaluation.

    Returns:
        A row per layer, a column per effect: relative root mean square, mean over chips.
    """
    names = _distinct(row["name"] for row in layers)
    # One word per line keeps the table within 80 characters for the usual names.
    columns = [short_name(name).replace(" ", "\n") for name in names]
    table = _table("Output error of each layer on the digital network's inputs [%]", "layer", *columns)
    for layer, errors in layer_means(layers).items():
        table.add_row(Text(layer), *(f"{100 * errors[name]:.2f}" if name in errors else "" for name in names))
    table.caption = "root mean square error over root mean square output, mean over chips"
    return table


def sensitivity_table(found: Sensitivity) -> Table:
    """Make the table of what each layer costs under each effect.

    Args:
        found: Result of `jaxaimc.studies.sensitivity`.

    Returns:
        A row per layer, the most damaging first, a column per effect: loss of the metric. The last column is the loss
        that is left when this layer and those above it are digital.
    """
    names = _distinct(row["effect"] for row in found.rows)
    columns = [short_name(name).replace(" ", "\n") for name in names]
    table = _table(f"Loss of {found.metric} by layer", "layer", *columns, "left when\ndigital")
    losses = {(row["layer"], row["effect"]): row["loss"] for row in found.rows}
    left = {row["layer"]: row["loss"] for row in found.exemptions}
    for layer in (row["layer"] for row in found.exemptions[1:]):
        values = [losses[layer, name] for name in names]
        style = "bold" if layer in found.exempt else None
        table.add_row(Text(layer), *(f"{value:.4f}" for value in (*values, left[layer])), style=style)
    kept = f"{len(found.exempt)} layer{'' if len(found.exempt) == 1 else 's'} digital"
    table.caption = f"digital: {found.digital:.4f}; within {found.tolerance:g} with {kept}"
    return table


def exemption_line(found: Sensitivity) -> str:
    """Say which layers must stay digital for the score to be within the tolerance of the digital one.

    Args:
        found: Result of `jaxaimc.studies.sensitivity`.
    """
    within = f"within {found.tolerance:g} of the digital {found.metric} ({found.digital:.4f})"
    examples = found.exemptions[0]["examples"]
    if not found.exempt:
        return f"No layer has to be digital to stay {within}, on {examples:,} examples."
    layers = "this layer" if len(found.exempt) == 1 else "these layers"
    return f"Keep {layers} digital to stay {within}, on {examples:,} examples: {', '.join(found.exempt)}."


def summary_lines(summary: nn.Summary) -> list[str]:
    """Say in a line or two what a network takes of a chip.

    Args:
        summary: Made with one example as inputs.

    Returns:
        Tiles, share of their cells that is used, devices and conversions; then what is digital, if anything is.
    """
    lines = []
    if summary.utilisation is not None:
        tiles = f"{summary.tiles:,} tile{'' if summary.tiles == 1 else 's'}"
        found = f"{tiles} with {100 * summary.utilisation:.3g} % of their cells used, {summary.devices:,} devices"
        calls = summary.conversions_per_call
        lines.append(found + ("" if calls is None else f", {calls:,} conversions per example"))
    digital = [row.path for row in summary.rows if not row.analog]
    if digital:
        more = f" and {len(digital) - 5} more" if len(digital) > 5 else ""
        lines.append(f"Digital: {', '.join(digital[:5])}{more}")
    return lines


def method_lines(config: Configs, errors: Mapping[str, float]) -> list[str]:
    """Say how far the wires' method is off, if it is not exact.

    Args:
        config: The tile, or configs by rule.
        errors: Error over the effect of the wires, by layer [1].

    Returns:
        A line, or none.
    """
    if not errors:
        return []
    worst = max(errors, key=lambda path: errors[path])
    mean = float(np.sqrt(np.mean(np.square(list(errors.values())))))
    wires = [part.wires for part in parts_of(config) if part.wires.finer is not None]
    names = dict.fromkeys(f"{type(one).__name__} by {type(getattr(one, 'method', one)).__name__}" for one in wires)
    return [
        f"{' and '.join(names)}: charges are off by {100 * mean:.2g} % of what the wires do to "
        f"them, by {100 * errors[worst]:.2g} % in {worst} (root mean square, by a finer method on some of the inputs)"
    ]


def cost_table(cost: nn.NetworkCost) -> Table:
    """Make the table of what an inference costs.

    Args:
        cost: The cost.

    Returns:
        A row per part, the largest energy first; energy, latency, area and efficiency of all below it.
    """
    total = cost.total
    table = _table("Cost of an inference, products on tiles", "part", "energy", "area", "share")
    energy, area = ({name: float(value) for name, value in of.by_part().items()} for of in (total.energy, total.area))
    for name in sorted(energy, key=lambda name: -energy[name]):
        share = energy[name] / sum(energy.values())
        table.add_row(name, format_si(energy[name], "J", 3), format_mm2(area[name]), f"{100 * share:.1f} %")
    whole = format_si(float(total.energy.total), "J", 3), format_mm2(float(total.area.total))
    table.add_row("all", *whole, "", style="bold")
    return table


def cost_lines(cost: nn.NetworkCost) -> list[str]:
    """Say what an inference takes, and what to know of the numbers.

    Args:
        cost: The cost.
    """
    total = cost.total
    figures = f"{float(total.tops_per_watt):.3g} TOPS/W, {float(total.tops_per_mm2):.3g} TOPS/mm^2"
    return [
        f"{format_si(float(total.latency), 's', 3)}, layer after layer and vector after vector; {figures}",
        *(f"{note[0].upper()}{note[1:]}." for note in total.notes()),
    ]


def digital_score(rows: Sequence[Row]) -> float | None:
    """Return the digital network's score on the examples of a study, or None if it is not among the rows.

    Args:
        rows: Summary rows of one study.
    """
    return next((row["mean"] for row in rows if row["name"] == "digital"), None)


def layer_means(layers: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Return the mean error over chips, by layer and effect.

    Args:
        layers: Layer rows of an evaluation.

    Returns:
        Relative errors, in the order of the rows.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for row in layers:
        found.setdefault(row["layer"], {}).setdefault(row["name"], []).append(row["error"])
    return {
        layer: {name: sum(errors) / len(errors) for name, errors in effects.items()} for layer, effects in found.items()
    }


def short_name(name: str) -> str:
    """Return the name of an effect without the word that says that it acts alone."""
    return name.removesuffix(" only")


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", caption_justify="left", box=box.SIMPLE_HEAD)
    table.show_edge, table.collapse_padding, table.pad_edge = False, True, False
    # Names of tasks' metrics, effects and layers are texts, whatever brackets they hold.
    table.add_column(Text(columns[0]), no_wrap=True)
    for column in columns[1:]:
        table.add_column(Text(column), justify="right")
    return table


def _value(row: Row | None) -> str:
    if row is None:
        return "..."
    spread = "" if row["std"] is None else f" ± {row['std']:.4f}"
    return f"{row['mean']:.4f}{spread}"


def _caption(rows: Any) -> str:
    rows = list(rows)
    if not rows:
        return ""
    chips = max(row["chips"] for row in rows)
    spread = f"; mean ± standard deviation of {chips} chips where they differ" if chips > 1 else ""
    return f"first {rows[-1]['examples']:,} test examples{spread}"


def _distinct(values: Any) -> list[Any]:
    return list(dict.fromkeys(values))
