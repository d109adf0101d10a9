"""Tables and figure of the experiment on design by gradient, from its result files."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from experiments import _design_problems as problems
from experiments import _design_searches as searches
from experiments import _design_together as together
from experiments import _design_wires as wires
from jaxaimc._core.files import replacing
from jaxaimc.studies import style

Read = Callable[[Path, str, Any], dict[str, Any] | None]
Curve = list[searches.Incumbent]

_TITLES = {"tile": "One tile for all layers, 4 variables", "layers": "A tile for each layer, 60 variables"}
_VARIABLES = {"tile": "4", "layers": "60"}
_COLOURS: dict[str, str] = dict(
    zip(searches.METHODS, (style.BLUE, style.ORANGE, style.GREEN, style.PURPLE, style.SKY, "0.5"), strict=True)
)


def write(
    folder: Path, settings: problems.Settings, read: Read, names: Sequence[str], seeds: int, joint_seeds: int
) -> None:
    """Print the tables, and write them and the figure into the folder.

    Args:
        folder: Folder of the result files.
        settings: How much was computed.
        read: Reads a result file.
        names: The problems.
        seeds: Seeds of the searches.
        joint_seeds: Seeds of weights and hardware together.
    """
    parts, drawn = [], []
    curves = {}
    for name in (one for one in ("tile", "layers") if one in names):
        curves[name] = _curves(folder, settings, read, name, seeds)
        parts.append(f"{_TITLES[name]}:\n\n{_searches_table(curves[name], settings)}")
        parts.append(_times(folder, settings, read, curves[name], name))
        drawn.append(lambda axes, name=name: _draw_searches(axes, curves[name], name, cpu=False))
    drawn += [lambda axes, name=name: _draw_searches(axes, curves[name], name, cpu=True) for name in curves]
    evaluated = {
        (name, seed): found
        for name in curves
        for seed in range(seeds)
        if (found := read(folder, f"evaluated-{name}-{seed}", settings))
    }
    if evaluated:
        parts.append(f"The designs of the gradient, evaluated anew:\n\n{_evaluated_table(evaluated)}")
    if "wires" in names:
        fronts = {variant: _needed(read, folder, f"wires-{variant.replace(' ', '_')}-0", settings)
                  for variant in wires.VARIANTS}  # fmt: skip
        parts.append(f"Width of wires against area:\n\n{_wires_table(fronts)}")
        drawn.append(lambda axes: _draw_wires(axes, fronts))
    if "together" in names:
        modes = {mode: [_needed(read, folder, f"together-{seed}-{mode}", settings) for seed in range(joint_seeds)]
                 for mode in together.MODES}  # fmt: skip
        parts.append(f"Weights and hardware:\n\n{_together_table(modes)}")
        drawn.append(lambda axes: _draw_together(axes, modes))
    text = "\n\n".join(parts) + "\n"
    print(text)
    with replacing(folder / "tables.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    figure, grid = style.panels(len(drawn))
    for letter, draw, axes in zip("abcdef", drawn, grid, strict=False):
        draw(axes)
        style.entitle(axes, letter)
    with replacing(folder / "figure.png") as temporary:
        figure.savefig(temporary, dpi=110, format="png")
    print(f"Tables and figure: {folder}")


def _needed(read: Read, folder: Path, name: str, settings: problems.Settings) -> dict[str, Any]:
    found = read(folder, name, settings)
    if found is None:
        raise ValueError(f"Folder {str(folder)!r} has no result {name!r}; run the command again without `--no-report`.")
    return found


def _curves(folder: Path, settings: problems.Settings, read: Read, name: str, seeds: int) -> dict[str, list[Curve]]:
    found: dict[str, list[Curve]] = {}
    for method in searches.METHODS:
        stem = method.replace(", ", "-").replace(" ", "_")
        results = [_needed(read, folder, f"{name}-{seed}-{stem}", settings) for seed in range(seeds)]
        found[method] = [
            searches.incumbents(method, [searches.Trial(**one) for one in each["trials"]]) for each in results
        ]
    return found


def _times(folder: Path, settings: problems.Settings, read: Read, curves: dict[str, list[Curve]], name: str) -> str:
    """Return what evaluations, gradient steps and compiling took."""
    evaluation, step = (
        np.mean([curve[-1].cpu / curve[-1].evaluations for curve in curves[method]]) * count
        for method, count in (("random", 1), ("gradient", searches.STEP))
    )
    every = [
        _needed(read, folder, f"{name}-{seed}-{method}", settings)["compilation"]
        for seed in range(len(curves["gradient"]))
        for method in ("gradient", "random")
    ]
    # The longest: with a compilation cache, all seeds but the first find what that has compiled.
    value, gradient = (max(one[what] for one in every if what in one) for what in ("value", "gradient"))
    return (
        f"An evaluation takes {evaluation:.2f} s of one core, a gradient step {step:.2f} s ({step / evaluation:.1f} "
        f"times as long); compiling takes up to {value:.0f} s without and {gradient:.0f} s with the gradient."
    )


def _at(curve: Curve, limit: float, *, cpu: bool) -> dict[str, float]:
    """Return the figures of the last incumbent within a number of evaluations or a processor time, or of the first."""
    within = [one for one in curve if (one.cpu if cpu else one.evaluations) <= limit * (1 + 1e-9)]
    return (within or curve[:1])[-1].held_out


def _searches_table(curves: dict[str, list[Curve]], settings: problems.Settings) -> str:
    steps = settings.evaluations // searches.STEP
    rows = []
    seeds = len(curves["gradient"])
    # The time that the fastest of those needs which make all evaluations, seed by seed.
    times = [min(curves[method][seed][-1].cpu for method in searches.METHODS if method != "grid")
             for seed in range(seeds)]  # fmt: skip
    for method, each in curves.items():
        alike = [
            _at(curve, steps * (searches.STEP if method.startswith("gradient") else 1), cpu=False) for curve in each
        ]
        whole = [curve[-1].held_out for curve in each]
        timed = [_at(curve, time, cpu=True) for curve, time in zip(each, times, strict=True)]
        cpu = [curve[-1].cpu for curve in each]
        better = sum(
            one["objective"] >= best[-1].held_out["objective"]
            for one, best in zip(whole, curves["gradient"], strict=True)
        )
        rows.append([
            method, *(_mean([one["objective"] for one in found]) for found in (alike, whole, timed)),
            _mean([one["loss"] for one in whole]), _mean([1e9 * one["energy"] for one in whole], 0),
            f"{np.mean(cpu):.0f} s", "" if method == "gradient" else f"{better} of {seeds}",
        ])  # fmt: skip
    head = ["method", f"{steps} calls", f"{settings.evaluations} evaluations", f"{np.mean(times):.0f} s", "loss",
            "energy [nJ]", "time", "gradient not worse"]  # fmt: skip
    return _markdown(head, rows)


def _evaluated_table(found: dict[tuple[str, int], dict[str, Any]]) -> str:
    rows = [
        [
            _VARIABLES[name], str(seed), f"{100 * np.mean(one['chips']):.2f} %", f"{100 * np.mean(one['there']):.2f} %",
            f"{1e9 * one['here']['energy']:.4g} nJ", f"{1e9 * one['cost']['energy']:.4g} nJ",
        ]
        for (name, seed), one in found.items()
    ]  # fmt: skip
    head = ["variables", "seed", "accuracy, `design.evaluate`", "accuracy, `jaxaimc evaluate`",
            "energy, `design.evaluate`", "energy, `jaxaimc evaluate`"]  # fmt: skip
    return _markdown(head, rows)


def _wires_table(fronts: dict[str, Any]) -> str:
    width, both = fronts[wires.VARIANTS[0]]["front"], fronts[wires.VARIANTS[1]]["front"]
    grid = fronts[wires.VARIANTS[0]]["grid"]
    rows = []
    for one, other in zip(width, both, strict=True):
        weight = one["weight"]
        best = min(grid, key=lambda point: _worth(point["own"], weight))
        rows.append([
            f"{weight:g}", f"{one['values']['wires.r']:.3g} ohm", f"{best['values']['wires.r']:.3g} ohm",
            *(f"{_worth(point['own'], weight):.4f}" for point in (one, best, other)),
            *(f"{point['held_out']['loss']:.3f}, {1e6 * point['held_out']['area']:.2f} mm^2"
              for point in (one, best, other)),
            f"{other['values']['wires.r']:.3g} ohm, {1e6 * other['values']['cell.g_max']:.3g} uS",
        ])  # fmt: skip
    head = ["weight", "r found", f"r, best of {len(grid)} of the grid", "objective", "grid", "with conductance",
            "loss, area", "grid", "with conductance", "found"]  # fmt: skip
    return _markdown(head, rows)


def _worth(figures: dict[str, float], weight: float) -> float:
    return figures["loss"] + weight * math.log(figures["area"])


def _together_table(modes: dict[str, list[dict[str, Any]]]) -> str:
    weight = problems.Problem.weight
    rows = []
    for mode, results in modes.items():
        every = [one["evaluated"] for one in results]
        rows.append([
            {"start": "neither", "weights": "weights alone", "hardware": "hardware alone", "both": "both"}[mode],
            _mean([one["loss"] + weight * math.log(one["energy"]) for one in every]),
            _mean([100 * one["score"] for one in every], 1) + " %",
            _mean([one["loss"] for one in every]),
            _mean([1e9 * one["energy"] for one in every], 0) + " nJ",
        ])  # fmt: skip
    digital = f"The digital network has {100 * modes['start'][0]['digital']:.1f} % on these images."
    head = ["trained", "objective", "accuracy on fresh chips", "loss", "energy"]
    return f"{_markdown(head, rows)}\n\n{digital}"


def _mean(values: Sequence[float], digits: int = 3) -> str:
    std = np.std(values, ddof=1) if len(values) > 1 else 0.0
    return f"{np.mean(values):.{digits}f} ± {std:.{digits}f}"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows))


def _draw_searches(axes: Axes, curves: dict[str, list[Curve]], name: str, *, cpu: bool) -> None:
    for method, each in curves.items():
        ends = [[curve[k].cpu if cpu else curve[k].evaluations for curve in each] for k in (0, -1)]
        first, last = max(ends[0]), min(ends[1])
        x = np.geomspace(first, last, 200)
        y = np.array([[_at(curve, limit, cpu=cpu)["objective"] for limit in x] for curve in each])
        line = ":" if "," in method else "-"
        axes.plot(x, y.mean(axis=0), line, label=method, color=_COLOURS[method], drawstyle="steps-post")
        axes.fill_between(x, y.min(axis=0), y.max(axis=0), step="post", alpha=0.15, color=_COLOURS[method], lw=0)
    axes.set_xscale("log")
    axes.set_xlabel("processor time [s]" if cpu else f"network evaluations; a gradient step counts as {searches.STEP}")
    axes.set_ylabel("objective of the incumbent, held out")
    # A random start is far above the given one, next to which all others would be one line.
    ends = [one.held_out["objective"] for method in searches.METHODS[:-1] for curve in curves[method] for one in curve]
    margin = 0.08 * (max(ends) - min(ends))
    axes.set_ylim(min(ends) - margin, max(ends) + margin)
    axes.set_title(_TITLES[name])
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8)


def _draw_wires(axes: Axes, fronts: dict[str, Any]) -> None:
    grid = fronts[wires.VARIANTS[0]]["grid"]
    place = lambda points: ([1e6 * one["held_out"]["area"] for one in points],  # noqa: E731
                            [one["held_out"]["loss"] for one in points])  # fmt: skip
    axes.plot(*place(grid), "-o", color="0.6", markersize=4, label="grid of wire resistances")
    for variant, colour, marker in zip(wires.VARIANTS, (style.BLUE, style.RED), "D^", strict=True):
        points = fronts[variant]["front"]
        axes.plot(*place(points), marker, color=colour, label=f"gradient: {variant}")
    for number, one in enumerate(fronts[wires.VARIANTS[0]]["front"]):
        x, y = place([one])
        axes.annotate(
            f"{one['values']['wires.r']:.2g} ohm", (x[0], y[0]), (2, 14 + 11 * (number % 3)),
            textcoords="offset points", fontsize=7, arrowprops={"arrowstyle": "-", "lw": 0.4, "color": "0.6"},
        )  # fmt: skip
    # Beyond the bend, where all is lost, the grid alone has points.
    found = [one["held_out"]["loss"] for variant in wires.VARIANTS for one in fronts[variant]["front"]]
    axes.set_ylim(min(found) - 0.01, max(found) + 0.04)
    axes.set_xlabel("area of all tiles [mm$^2$]")
    axes.set_ylabel("loss, held out")
    axes.set_title("Width of wires against area")
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8)


def _draw_together(axes: Axes, modes: dict[str, list[dict[str, Any]]]) -> None:
    shown = {"start": ("neither", "0.5", "o"), "weights": ("weights alone", style.ORANGE, "s"),
             "hardware": ("hardware alone", style.GREEN, "D"), "both": ("both", style.BLUE, "^")}  # fmt: skip
    for mode, results in modes.items():
        label, colour, marker = shown[mode]
        for number, one in enumerate(results):
            scores = 100 * np.asarray(one["evaluated"]["scores"])
            axes.errorbar(1e9 * one["evaluated"]["energy"], scores.mean(), scores.std(), fmt=marker, color=colour,
                          capsize=3, label=None if number else label)  # fmt: skip
    axes.set_xlabel("energy of an inference [nJ]")
    axes.set_ylabel("accuracy on fresh chips [%]")
    axes.set_title("Weights and hardware")
    axes.grid(alpha=0.25)
    axes.legend(fontsize=8)
