"""Figures of measured devices against their models. Needs matplotlib (the extra `app`)."""

from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np

from jaxaimc.devices import fit
from jaxaimc.devices.base import Device
from jaxaimc.units import format_duration, uS

# Line of each model, over again from the fourth on.
_STYLES: tuple[Any, ...] = ("-", "--", ":")
_PROBABILITIES = np.array([0.001, 0.01, 0.05, 0.159, 0.5, 0.841, 0.95, 0.99, 0.999])


def compare(
    path: str | Path, measurements: fit.Measurements, models: dict[str, Device], *, title: str = "", seed: int = 0
) -> None:
    """Draw data against models: deviation and mean shift over the state, deviation over time, and quantiles.

    Args:
        path: Image file to write.
        measurements: Readings.
        models: Device models by name; each is sampled at the states and times of the readings.
        title: Title of the figure.
        seed: Seed of the samples.

    Raises:
        ModuleNotFoundError: If matplotlib is not installed.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt
    from matplotlib.lines import Line2D

    data = fit.group(measurements)
    samples = {name: fit.sample(device, measurements, seed) for name, device in models.items()}
    groups = {name: fit.group(drawn) for name, drawn in samples.items()}
    figure, axes = plt.subplots(2, 2, figsize=(9, 7), layout="constrained")
    shown = np.unique(np.linspace(0, len(data.times) - 1, 4).astype(int))
    _over_state(axes[0, 0], data, groups, shown, "std", "standard deviation [uS]")
    _over_state(axes[0, 1], data, groups, shown, "mean", "mean - target [uS]")
    _over_time(axes[1, 0], data, groups)
    _quantiles(axes[1, 1], measurements, samples, data, shown)
    axes[0, 0].legend(fontsize=8)
    kinds = [Line2D([], [], color="0.3", linestyle="", marker=".", label="measured")]
    kinds += [
        Line2D([], [], color="0.3", lw=1, linestyle=style, label=name) for style, name in zip(cycle(_STYLES), models)
    ]
    axes[0, 1].legend(handles=kinds, fontsize=8)
    figure.suptitle(title)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def _over_state(axis: Any, data: fit.Groups, groups: dict, shown: np.ndarray, field: str, label: str) -> None:
    """Points are data, lines are models, colours are times."""
    for colour, k in enumerate(shown):
        offset = data.targets if field == "mean" else 0.0
        values = getattr(data, field)[k] - offset
        name = format_duration(float(data.times[k]))
        axis.plot(data.targets / uS, values / uS, ".", color=f"C{colour}", label=name)
        for style, model in zip(cycle(_STYLES), groups.values(), strict=False):
            axis.plot(model.targets / uS, (getattr(model, field)[k] - offset) / uS, style, color=f"C{colour}", lw=1)
    axis.set(xlabel="target conductance [uS]", ylabel=label)


def _over_time(axis: Any, data: fit.Groups, groups: dict) -> None:
    positive = data.times > 0
    if not np.any(positive):
        axis.set_axis_off()
        return
    for colour, i in enumerate(np.unique(np.linspace(0, len(data.targets) - 1, 4).astype(int))):
        name = f"{data.targets[i] / uS:.0f} uS"
        axis.plot(data.times[positive], data.std[positive, i] / uS, ".", color=f"C{colour}", label=name)
        for style, model in zip(cycle(_STYLES), groups.values(), strict=False):
            axis.plot(data.times[positive], model.std[positive, i] / uS, style, color=f"C{colour}", lw=1)
    axis.set(xscale="log", xlabel="time since programming [s]", ylabel="standard deviation [uS]")
    axis.legend(fontsize=8)


def _quantiles(axis: Any, measurements: fit.Measurements, samples: dict, data: fit.Groups, shown: np.ndarray) -> None:
    """Quantiles of the deviation from the target over all states: model against data, a line where they agree."""

    def deviations(readings: fit.Measurements, t: float) -> np.ndarray:
        here = (readings.t == t) & np.isin(readings.target, data.targets)
        return np.quantile((readings.g - readings.target)[here], _PROBABILITIES) / uS

    low, high = 0.0, 0.0
    for colour, k in enumerate(shown):
        expected = deviations(measurements, float(data.times[k]))
        low, high = min(low, expected[0]), max(high, expected[-1])
        for mark, (name, drawn) in zip(cycle(("o", "x", "+")), samples.items(), strict=False):
            label = name if colour == 0 else None
            axis.plot(
                expected,
                deviations(drawn, float(data.times[k])),
                mark,
                color=f"C{colour}",
                ms=4,
                fillstyle="none",
                label=label,
            )
    axis.plot([low, high], [low, high], color="0.6", lw=1, zorder=0)
    axis.set(xlabel="measured deviation, quantiles 0.1 to 99.9 % [uS]", ylabel="model [uS]")
    axis.legend(fontsize=8)
