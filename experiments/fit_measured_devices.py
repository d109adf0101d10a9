"""Devices fitted to raw measurements, and figures of data against model.

    python -m experiments.fit_measured_devices --data DATA --out results

DATA holds the folders `rram_relaxation` (program-and-verified RRAM read again up to 1e4 s later, MIT licence) and
`pcm_partial_reset` (resistances of phase-change cells after partial reset pulses, BSD licence). The first becomes a
table over states and times, the second a polynomial deviation over the state.
"""

import argparse
import os
from pathlib import Path

import numpy as np

from jaxaimc.devices import Device, NormalProgramming, figures, fit
from jaxaimc.units import uS

# Where the data are looked for when no folder is named: this variable, then a folder beside the repository.
DATA_VARIABLE = "JAXAIMC_DATA"
_BESIDE = Path(__file__).resolve().parents[1].parent / "shared" / "data"


def data_folder(named: Path | None = None) -> Path:
    """Return the folder of the measurements.

    Args:
        named: Folder named by the user.

    Returns:
        The first of that, the environment variable, and `../shared/data`, that exists.

    Raises:
        FileNotFoundError: If none does.
    """
    choices = [named, Path(os.environ[DATA_VARIABLE]) if DATA_VARIABLE in os.environ else None, _BESIDE]
    for choice in choices:
        if choice is not None and choice.is_dir():
            return choice
    raise FileNotFoundError(f"No folder of measurements: name one with --data or in the variable {DATA_VARIABLE}.")


def rram_relaxation(folder: Path) -> fit.Measurements:
    """Read the relaxation of 15,961 RRAM cells in 32 programmed levels.

    Args:
        folder: Folder of the measurements.

    Returns:
        Readings at 0 to 1e4 s; the state of a cell is the median of its level right after programming.
    """
    path = folder / "rram_relaxation" / "techB" / "relaxdata_10k.min.tsv.gz"
    g, level, t = np.loadtxt(path, usecols=(3, 5, 6)).T
    # Levels above 31 are cells that programming overshot: few, and no state of their own.
    kept = level < 32
    g, level, t = g[kept], level[kept], t[kept]
    centres = {state: np.median(g[(level == state) & (t == 0)]) for state in np.unique(level)}
    return fit.Measurements(np.array([centres[state] for state in level]), t, g)


def pcm_partial_reset(folder: Path) -> fit.Measurements:
    """Read the conductances of phase-change cells after partial reset pulses of 2.2 to 2.95 V, 380 cells each.

    Below 2.2 V the median conductance falls and rises again with the voltage, and one conductance occurs with standard
    deviations that differ by a factor of six: there these are no function of the state, and such pulses are left out.

    Args:
        folder: Folder of the measurements.

    Returns:
        Readings at time zero; the state of a cell is the median of its voltage.
    """
    path = folder / "pcm_partial_reset" / "partial_reset_pcm.csv"
    voltage, resistance = np.loadtxt(path, delimiter=",", skiprows=1).T
    reset = voltage > 2.17
    voltage, g = voltage[reset], 1 / resistance[reset]
    centres = {v: np.median(g[voltage == v]) for v in np.unique(voltage)}
    return fit.Measurements(np.array([centres[v] for v in voltage]), np.zeros(len(g)), g)


def fit_rram(measurements: fit.Measurements) -> dict[str, Device]:
    """Return the table of the RRAM data, from moments and from quantiles."""
    plain, robust = (fit.table(fit.group(measurements, robust=robust)) for robust in (False, True))
    return {"table": plain.device(), "table of quantiles": robust.device()}


def fit_pcm(measurements: fit.Measurements) -> dict[str, Device]:
    """Return polynomial deviations of the PCM data, from moments and from quantiles."""
    parts: dict[str, NormalProgramming] = {
        name: fit.polynomial_std(fit.group(measurements, robust=robust), 12 * uS, 4)
        for name, robust in (("polynomial", False), ("polynomial of quantiles", True))
    }
    return {name: Device(programming=part) for name, part in parts.items()}


def main(arguments: list[str] | None = None) -> None:
    """Fit both data sets and draw them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=None, help="folder of the measurements")
    parser.add_argument("--out", type=Path, default=Path("results"), help="folder of tables and figures")
    options = parser.parse_args(arguments)
    folder = data_folder(options.data)
    options.out.mkdir(parents=True, exist_ok=True)
    for name, read, model in (
        ("rram_relaxation", rram_relaxation, fit_rram),
        ("pcm_partial_reset", pcm_partial_reset, fit_pcm),
    ):
        measurements = read(folder)
        models = model(measurements)
        figures.compare(options.out / f"{name}.png", measurements, models, title=name.replace("_", " "))
        data = fit.group(measurements)
        for label, device in models.items():
            found = fit.group(fit.sample(device, measurements))
            error = np.abs(found.std / data.std - 1)
            off = f"{100 * np.median(error):.1f} % (median), {100 * error.max():.0f} % at most"
            print(f"{name}, {label}: standard deviation off by {off}")


if __name__ == "__main__":
    main()
