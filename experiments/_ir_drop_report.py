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
    ("circuit", False): ("through the circuit", "tab:blue", "D", "-"),
    ("circuit+gains", False): ("through the circuit, column gains trained", "tab:green", "^", "-"),
}


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


def show(row: Record) -> str:
    """Return a row of the table as text."""
    after = "per-column calibration" if row["calibrated"] else ""
    return (
        f"{row['network']:9s} {row['r']:5g} ohm  idle {row['idle']:5s} {row['method']:14s} {after:23s} "
        f"{100 * row['mean']:6.2f} ± {100 * row['std']:.2f} %  ({row['scores']} chips)"
    )


def write_table(rows: list[Record], path: Path) -> None:
    """Write the table as CSV."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, _COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def markdown(rows: list[Record], idle: str) -> str:
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


def verdicts(rows: list[Record]) -> list[str]:
    """Say for every network and resistance what training through the circuit gains over the best Gaussian training.

    Margins are set against the larger of the two spreads over chips and seeds.
    """
    lines = []
    software = {row["network"]: row["mean"] for row in rows if row["method"] == "software"}
    for place in dict.fromkeys((row["network"], row["r"], row["idle"]) for row in rows):
        here = [row for row in rows if (row["network"], row["r"], row["idle"]) == place]
        through = [row for row in here if _kind(row).startswith("circuit")]
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


def figure(rows: list[Record], path: Path) -> None:
    """Draw accuracy over wire resistance with held idle cells, one panel per network."""
    import matplotlib.pyplot as plt

    held = [row for row in rows if row["idle"] == "held"]
    software = {row["network"]: 100 * row["mean"] for row in rows if row["method"] == "software"}
    names = list(dict.fromkeys(row["network"] for row in held))
    figure, axes = plt.subplots(1, len(names), figsize=(5.2 * len(names), 4.2), squeeze=False, sharey=True)
    for axis, name in zip(axes[0], names, strict=True):
        axis.axhline(software[name], color="black", linewidth=0.8, linestyle=":", label="in software")
        for (kind, calibrated), (label, colour, marker, line) in _CURVES.items():
            points = sorted(
                (row["r"], 100 * row["mean"], 100 * row["std"])
                for row in held
                if (row["network"], row["calibrated"], _kind(row)) == (name, calibrated, kind)
            )
            if points:
                r, mean, std = zip(*points, strict=True)
                axis.errorbar(r, mean, std, color=colour, marker=marker, linestyle=line, capsize=3, label=label)
        axis.set_xscale("log")
        ticks = sorted({row["r"] for row in held if row["network"] == name})
        axis.set_xticks(ticks, [f"{r:g}" for r in ticks])
        axis.minorticks_off()
        axis.set_title(f"{name} network")
        axis.set_xlabel("wire resistance [ohm per segment]")
        axis.grid(alpha=0.3)
    axes[0, 0].set_ylabel("accuracy on fresh chips [%]")
    axes[0, 0].set_ylim(0, 100)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=3, handlelength=4)
    figure.tight_layout()
    figure.savefig(path, dpi=150, bbox_inches="tight")
    plt.close(figure)


def _kind(row: Record) -> str:
    return row["method"].split()[0]
