"""Table, figure and verdict of the experiment on training through the circuit."""

import csv
from pathlib import Path
from typing import Any

import numpy as np

# One score or one row of the table: network, r [ohm per segment], idle, method, calibrated, and what was found.
Record = dict[str, Any]

_COLUMNS: tuple[str, ...] = ("network", "r", "idle", "method", "calibrated", "mean", "std", "scores")
_CURVES = {
    ("digital", False): ("digital training", "0.45", "o", "-"),
    ("digital", True): ("digital training + column calibration", "0.45", "o", "--"),
    ("Gaussian", False): ("Gaussian noise, best strength", "tab:orange", "s", "-"),
    ("Gaussian", True): ("Gaussian noise + column calibration", "tab:orange", "s", "--"),
    ("held", False): ("through held idle cells", "tab:blue", "D", "-"),
    ("held+gains", False): ("through held idle cells, column gains trained", "tab:blue", "D", "--"),
    ("open", False): ("through open idle cells (mean field)", "tab:green", "^", "-"),
    ("open+gains", False): ("through open idle cells (mean field), column gains trained", "tab:green", "^", "--"),
    ("open, blocks+gains", False): ("through open idle cells (blocks), column gains trained", "tab:red", "v", "--"),
}
_SOFTWARE = ("in software", "black", "", ":")
_CIRCUITS = {"held": "held idle cells", "open": "open idle cells"}


def summary(records: list[Record]) -> list[Record]:
    """Return mean, standard deviation over chips and seeds, and number of scores of every method."""
    groups: dict[tuple, list[float]] = {}
    for record in records:
        place = tuple(record[name] for name in _COLUMNS[:5])
        groups.setdefault(place, []).extend(record["scores"])
    return [
        {
            **dict(zip(_COLUMNS, place, strict=False)),
            "mean": float(np.mean(scores)),
            "std": float(np.std(scores, ddof=1)) if len(scores) > 1 else 0.0,
            "scores": len(scores),
        }
        for place, scores in groups.items()
    ]


def best(records: list[Record]) -> list[Record]:
    """Return the table with the best of the Gaussian strengths for every network, resistance and calibration."""
    kept: dict[tuple, Record] = {}
    for row in summary(records):
        place = (row["network"], row["idle"], row["r"], row["calibrated"], _kind(row))
        if place not in kept or row["mean"] > kept[place]["mean"]:
            kept[place] = row
    return sorted(kept.values(), key=lambda row: (row["network"], row["idle"], row["r"]))


def write(records: list[Record], folder: Path) -> None:
    """Write the tables and the figure, and print them with what follows from them."""
    chosen = best(records)
    _write_table(chosen, folder / "table.csv")
    tables = [f"{_CIRCUITS[idle].capitalize()}:\n\n{_markdown(chosen, idle)}" for idle in _scored(chosen)]
    (folder / "table.md").write_text("\n\n".join(tables) + "\n")
    _figure(chosen, folder / "figure.png")
    print("\n" + "\n".join(show(row) for row in chosen))
    print("\n" + "\n".join(_verdicts(chosen)))
    for name in dict.fromkeys(record["network"] for record in records):
        errors = [e for record in records if record["network"] == name for e in record.get("wires_error", [])]
        if errors:
            print(
                f"{name}: error of the blocks with which open idle cells are read, over the effect of the wires on a "
                f"layer: median {np.median(errors):.4f}, largest {max(errors):.4f} of {len(errors)}"
            )
    print(f"\nTables and figure: {folder}")


def show(row: Record) -> str:
    """Return a row of the table as text."""
    after = "per-column calibration" if row["calibrated"] else ""
    return (
        f"{row['network']:9s} {row['r']:5g} ohm  idle {row['idle']:5s} {row['method']:14s} {after:23s} "
        f"{100 * row['mean']:6.2f} ± {100 * row['std']:.2f} %  ({row['scores']} chips)"
    )


def _write_table(rows: list[Record], path: Path) -> None:
    """Write the table as CSV."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def _markdown(rows: list[Record], idle: str) -> str:
    """Return the scores for one state of idle cells as a Markdown table, a column for every network and resistance."""
    here = [row for row in rows if row["idle"] == idle]
    places = list(dict.fromkeys((row["network"], row["r"]) for row in here))
    lines = [
        "| | " + " | ".join(f"{name}, {r:g} ohm" for name, r in places) + " |",
        "|---|" + "---|" * len(places),
    ]
    for (kind, calibrated), (label, *_) in _CURVES.items():
        cells = {
            (row["network"], row["r"]): row for row in here if (_kind(row), row["calibrated"]) == (kind, calibrated)
        }
        if cells:
            entries = [
                f"{100 * cells[place]['mean']:.1f} ± {100 * cells[place]['std']:.1f}" if place in cells else ""
                for place in places
            ]
            lines.append(f"| {label} | " + " | ".join(entries) + " |")
    return "\n".join(lines)


def _verdicts(rows: list[Record]) -> list[str]:
    """Say for every network and resistance what training through the circuit gains over the best Gaussian training.

    Margins are set against the larger of the two spreads over chips and seeds.
    """
    lines = []
    software = {row["network"]: row["mean"] for row in rows if row["method"] == "software"}
    for place in dict.fromkeys((row["network"], row["r"], row["idle"]) for row in rows):
        here = [row for row in rows if (row["network"], row["r"], row["idle"]) == place]
        through = [row for row in here if _kind(row).startswith(("held", "open"))]
        for calibrated in (False, True):
            rivals = [row for row in here if row["calibrated"] == calibrated and _kind(row) in ("digital", "Gaussian")]
            if not through or not rivals:
                continue
            aware, rival = (max(group, key=lambda row: row["mean"]) for group in (through, rivals))
            margin, spread = aware["mean"] - rival["mean"], max(aware["std"], rival["std"])
            loss, rest = software[place[0]] - rival["mean"], software[place[0]] - aware["mean"]
            lines.append(
                f"{place[0]}, {place[1]:g} ohm, idle cells {place[2]}: "
                f"{rival['method']}{' + column calibration' if calibrated else ''} loses {100 * loss:.1f} points, "
                f"{aware['method']} {100 * rest:.1f}: margin {100 * margin:+.1f}, spread {100 * spread:.1f}"
            )
    return lines


def _scored(rows: list[Record]) -> list[str]:
    """Return which states of idle cells there are scores for."""
    return [idle for idle in _CIRCUITS if any(row["idle"] == idle for row in rows)]


def _figure(rows: list[Record], path: Path) -> None:
    """Draw accuracy over wire resistance: a column of panels for each network, a row for each state of idle cells."""
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    circuits = _scored(rows)
    names = list(dict.fromkeys(row["network"] for row in rows))
    size = (5.2 * len(names), 0.7 + 3.4 * len(circuits))
    figure, axes = plt.subplots(len(circuits), len(names), figsize=size, squeeze=False, sharex="col", sharey=True)
    for idle, of_circuit in zip(circuits, axes, strict=True):
        for name, axis in zip(names, of_circuit, strict=True):
            _panel(axis, [row for row in rows if row["network"] == name], idle)
            axis.set_title(f"{name} network, {_CIRCUITS[idle]}")
            axis.set_visible(any((row["network"], row["idle"]) == (name, idle) for row in rows))
        of_circuit[0].set_ylabel("accuracy on fresh chips [%]")
    for axis in axes[-1]:
        axis.set_xlabel("wire resistance [ohm per segment]")
    axes[0, 0].set_ylim(0, 100)
    drawn = {label for axis in axes.flat for label in axis.get_legend_handles_labels()[1]}
    handles = [
        Line2D([], [], color=colour, marker=marker, markerfacecolor=_face(colour, line), linestyle=line, label=label)
        for label, colour, marker, line in [_SOFTWARE, *_CURVES.values()]
        if label in drawn
    ]
    figure.tight_layout()
    place = {"loc": "upper center", "bbox_to_anchor": (0.5, 0), "ncols": min(3, 2 * len(names)), "handlelength": 4}
    figure.legend(handles=handles, fontsize=8, **place)
    figure.savefig(path, dpi=150, bbox_inches="tight")
    plt.close(figure)


def _panel(axis: Any, rows: list[Record], idle: str) -> None:
    """Draw the curves of one network and one state of idle cells."""
    for row in rows:
        if row["method"] == "software":
            label, colour, _, line = _SOFTWARE
            axis.axhline(100 * row["mean"], color=colour, linewidth=0.8, linestyle=line, label=label)
    for (kind, calibrated), (label, colour, marker, line) in _CURVES.items():
        points = sorted(
            (row["r"], 100 * row["mean"], 100 * row["std"])
            for row in rows
            if (row["idle"], row["calibrated"], _kind(row)) == (idle, calibrated, kind)
        )
        if points:
            r, mean, std = zip(*points, strict=True)
            # Two points make no curve.
            joined = line if len(points) > 2 else "none"
            style = {"color": colour, "marker": marker, "markerfacecolor": _face(colour, line), "linestyle": joined}
            axis.errorbar(r, mean, std, capsize=3, label=label, **style)
    axis.set_xscale("log")
    ticks = sorted({row["r"] for row in rows if row["method"] != "software"})
    axis.set_xticks(ticks, [f"{r:g}" for r in ticks])
    axis.minorticks_off()
    axis.grid(alpha=0.3)


def _face(colour: str, line: str) -> str:
    # Corrected columns are drawn hollow, so that points without a line can be told apart.
    return "white" if line == "--" else colour


def _kind(row: Record) -> str:
    return "Gaussian" if row["method"].startswith("Gaussian") else row["method"]
