"""Draw the figures of the page on theory from the library's own numbers.

python docs/drawings.py        # writes docs/images/theory_*.png, within a minute
"""

from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jaxaimc import AnalogConfig, charges, prepare, program
from jaxaimc.adcs import ADC, CCO, SAR, BothEnds, Floor, MidRise, Pipeline, Ramp, Readout, Symmetric, Uniform
from jaxaimc.cells import Differential
from jaxaimc.devices import PCM, IdealDevice
from jaxaimc.drives import PWM
from jaxaimc.studies.style import BLUE, COLOURS, GREEN, MARKERS, ORANGE, RED, entitle, panels
from jaxaimc.wires import Ladder

IMAGES = Path(__file__).resolve().parent / "images"


def tile() -> Figure:
    """Weights, the conductances that they become, what is programmed, and the pulses of one input vector."""
    rows, cols = 16, 8
    w = jax.random.normal(jax.random.key(3), (rows, cols))
    x = jax.random.normal(jax.random.key(4), (rows,))
    drive = PWM()
    config = AnalogConfig(cell=Differential(), device=PCM(), drive=drive, rows=rows, cols=cols)
    target = program(
        AnalogConfig(cell=Differential(), device=IdealDevice(), rows=rows, cols=cols), w, jax.random.key(0)
    )
    actual = program(config, w, jax.random.key(0))
    figure = Figure(figsize=(12.8, 4.4), layout="constrained")
    axes = figure.subplots(1, 4, width_ratios=(1, 2, 2, 1.6))
    limit = float(jnp.abs(w).max())
    image = axes[0].imshow(w, aspect="auto", cmap="PuOr", vmin=-limit, vmax=limit, interpolation="nearest")
    axes[0].set(title="weights", xlabel="output", ylabel="input")
    figure.colorbar(image, ax=axes[0])
    for axis, programmed, title in ((axes[1], target, "target conductances"), (axes[2], actual, "after programming")):
        pairs = np.asarray(programmed.g).reshape(2, rows, cols)
        image = axis.imshow(
            np.concatenate(list(pairs), axis=1) * 1e6,
            aspect="auto",
            cmap="viridis",
            vmin=0,
            vmax=27,
            interpolation="nearest",
        )
        axis.axvline(cols - 0.5, color="white", linewidth=2)
        axis.set(title=title, xlabel="g+ of each output | g- of each output", xticks=[])
        figure.colorbar(image, ax=axis, label="conductance [uS]")
    pulses = drive.encode(x)
    length = np.asarray(pulses.level[0]) * (2 ** (drive.bits - 1) - 1)
    axes[3].barh(np.arange(rows), np.abs(length), color=[RED if k < 0 else BLUE for k in length])
    axes[3].set(title="pulses", xlabel="length [ns], orange: negative", ylim=(rows - 0.5, -0.5))
    for axis, letter in zip(axes, "abcd", strict=True):
        entitle(axis, letter)
    return figure


def ir_drop() -> Figure:
    """What a row's charge counts at the converter, along the column, and what is left of the whole output."""
    figure, (along, left) = panels(2)
    rows = 512
    for r, colour in zip((0.15, 1.0, 5.0), (BLUE, GREEN, ORANGE), strict=True):
        along.plot(np.arange(rows), _of_each_row(rows, r), color=colour, label=f"{r:g} ohm")
    along.set(
        title="what a row counts",
        xlabel="row (the converter is on the right)",
        ylabel="charge over that without wires",
        ylim=(0, 1.02),
        xlim=(0, rows),
    )
    along.legend(title="segment", frameon=False)
    resistances, between = np.geomspace(0.01, 20, 9), np.geomspace(0.01, 20, 200)
    for n, colour, marker in zip((64, 128, 256, 512), COLOURS, MARKERS, strict=False):
        kept = [_of_each_row(n, r).mean() for r in resistances]
        left.semilogx(resistances, kept, marker, color=colour, markersize=5, label=f"{n} rows")
        root = n * np.sqrt(between * 25e-6)
        left.semilogx(between, np.tanh(root) / root, color=colour, linewidth=1)
    left.set(
        title="what is left of a full column",
        xlabel="resistance of a segment [ohm]",
        ylabel="output over that without wires",
        ylim=(0, 1.02),
    )
    left.legend(frameon=False)
    entitle(along, "a")
    entitle(left, "b")
    return figure


def _of_each_row(rows: int, r: float) -> np.ndarray:
    """Return the charge of each row alone, in a column of which every cell is fully on [fully driven cells]."""
    config = AnalogConfig(
        cell=Differential(),
        device=IdealDevice(),
        wires=Ladder(r=r, v_idle=0.4, v_adc=0.4, alternate=False),
        drive=PWM(),
        rows=rows,
        cols=1,
    )
    prepared = prepare(config, program(config, jnp.ones((rows, 1)), jax.random.key(0)))
    return np.asarray(charges(config, prepared, jnp.eye(rows))).reshape(rows)


def ramps() -> Figure:
    """What each converter makes of a ramp of charges."""
    span, bits = Symmetric(limit=8.0), 4
    shown: list[tuple[str, dict[str, ADC]]] = [
        ("conventions of codes, 3 bits", {
            "MidTread": Uniform(bits=3, range=span),
            "BothEnds": Uniform(bits=3, range=span, codes=BothEnds()),
            "MidRise": Uniform(bits=3, range=span, codes=MidRise()),
        }),
        ("rounding, 3 bits", {
            "Nearest": Uniform(bits=3, range=span),
            "Floor": Uniform(bits=3, range=span, rounding=Floor()),
        }),
        ("CCO: started counts are lost", {
            "1.6 pC a count": CCO(i_ref=10e-3),
            "0.48 pC, at most 6 counts": CCO(i_ref=3e-3, max_count=6.0),
        }),
        ("SAR, 4 bits, capacitors ± 10 %", {
            "ideal": SAR(bits=bits, range=span),
            "one chip": SAR(bits=bits, range=span, capacitor=0.1),
        }),
        ("Ramp, 4 bits, comparators ± 5 %", {
            "ideal": Ramp(bits=bits, range=span),
            "one chip": Ramp(bits=bits, range=span, comparator=0.05),
        }),
        ("Pipeline, 4 bits, amplifiers of gain 20", {
            "ideal": Pipeline(bits=bits, range=span),
            "one chip": Pipeline(bits=bits, range=span, gain=20.0),
        }),
    ]  # fmt: skip
    figure = Figure(figsize=(12.8, 8.0), layout="constrained")
    axes: list[Axes] = list(figure.subplots(2, 3, sharex=True, sharey=True).ravel())
    q = jnp.linspace(-9.5, 9.5, 1901)
    for axis, letter, (title, converters) in zip(axes, "abcdef", shown, strict=True):
        axis.plot(q, q, color="0.75", linewidth=1)
        for (name, adc), colour in zip(converters.items(), (BLUE, ORANGE, GREEN), strict=False):
            axis.plot(q, _digitised(adc)(q), color=colour, label=name, linewidth=1.5)
        axis.set_title(title)
        axis.legend(frameon=False, fontsize=9)
        entitle(axis, letter)
    for axis in axes[3:]:
        axis.set_xlabel("charge [fully driven cells]")
    for axis in axes[::3]:
        axis.set_ylabel("what the code stands for")
    return figure


def _digitised(adc: ADC) -> Callable[[jax.Array], np.ndarray]:
    def of(q: jax.Array) -> np.ndarray:
        converters = adc.draw_mismatch(jax.random.key(1), 1, 1)
        readout = Readout(
            unit_charge=jnp.array(0.2 * 127e-9 * 25e-6),
            rows=8,
            tile_rows=8,
            converters=jax.tree.map(jnp.ravel, converters),
        )
        return np.asarray(adc.convert(q[:, None, None], readout._replace(converters=converters), None)).ravel()

    return of


if __name__ == "__main__":
    for make in (tile, ir_drop, ramps):
        make().savefig(IMAGES / f"theory_{make.__name__}.png", dpi=110)
