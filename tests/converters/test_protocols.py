"""One suite over every cell, drive and converter of the library: what their protocols promise.

A component of your own can be checked by adding it to the lists below.
"""

import dataclasses
import inspect
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxaimc import adcs, cells, config_files, drives
from jaxaimc._core.describe import describe
from jaxaimc.adcs import Readout
from jaxaimc.config import AnalogConfig, analog_matmul
from jaxaimc.devices import IdealDevice
from jaxaimc.wires import NoWires

KEY = jax.random.key(3)

CELLS = [
    cells.Differential(g_min=1e-6),
    cells.TwoSided(g_min=1e-6),
    cells.Offset(g_min=1e-6),
    cells.UnitColumn(cell=cells.Offset()),
    cells.Pairs(factors=(1.0, 2.0)),
    cells.DifferentialSlices(),
    cells.OffsetSlices(),
    cells.BitPlanes(),
    cells.Quantised(cell=cells.Offset(), states=31),
]
DRIVES = [
    drives.PWM(),
    drives.SplitPWM(),
    drives.BitSerial(),
    drives.BitSerial(group=3, signs=drives.TwoPasses(), range=drives.AbsoluteMaximum()),
    drives.BitSerial(signs=drives.TwosComplement(), accumulates=True, range=drives.FixedRange(limit=1.5)),
    drives.BitGroups(widths=(2, 4), signs=drives.Unsigned()),
    drives.VoltageDAC(range=drives.LearnedRange(limit=1.5)),
]
RANGE = adcs.Symmetric(limit=4.0)
CONVERTERS = [
    adcs.IdealADC(),
    adcs.GaussianADC(sigma=0.1),
    adcs.CCO(),
    adcs.Uniform(range=RANGE),
    adcs.Uniform(range=adcs.TileRange(), codes=adcs.BothEnds(), noise=adcs.MacroNoise(fixed=0.01, signal=0.01)),
    adcs.Uniform(codes=adcs.MidRise(), rounding=adcs.Stochastic(), range=adcs.StepRange(step=0.1)),
    adcs.Ramp(range=RANGE, capacitor=0.05),
    adcs.SAR(range=RANGE, capacitor=0.05),
    adcs.SAR(range=RANGE, split=True, comparator=0.01),
    adcs.Pipeline(range=RANGE, capacitor=0.05),
    adcs.Cyclic(range=RANGE, gain=1000.0),
    adcs.Mismatch(adc=adcs.Uniform(range=RANGE), gain=0.02, offset=0.1),
    adcs.ColumnMux(adc=adcs.SAR(range=RANGE, capacitor=0.05), columns=2),
    adcs.CodeTable(mean=np.arange(16.0), std=np.full(16, 0.3), range=RANGE),
    adcs.Hybrid(adc=adcs.Uniform(range=RANGE), digital=2),
    adcs.Voting(adc=adcs.Uniform(range=RANGE, noise=adcs.StepNoise(rms=0.5)), samples=3, levels=2),
]
DTYPES = [jnp.float32, jnp.float64]


def name(component):
    return type(component).__name__


def public_classes(package, protocol, sample):
    """Return the components of a package that have the protocol's methods."""
    needed = {n for n, _ in inspect.getmembers(protocol, inspect.isfunction) if not n.startswith("_")}
    found = [getattr(package, n) for n in package.__all__ if dataclasses.is_dataclass(getattr(package, n))]
    return {c.__name__ for c in found if needed <= set(dir(c))}


@pytest.mark.parametrize(
    ("package", "protocol", "listed"),
    [(cells, cells.Cell, CELLS), (drives, drives.Drive, DRIVES), (adcs, adcs.ADC, CONVERTERS)],
    ids=["cells", "drives", "adcs"],
)
def test_every_component_is_in_the_suite(package, protocol, listed):
    assert public_classes(package, protocol, listed) == {name(component) for component in listed}


@pytest.mark.parametrize("component", [*CELLS, *DRIVES, *CONVERTERS], ids=name)
def test_components_are_pytrees_values_and_files(component):
    component.validate()
    leaves, tree = jax.tree.flatten(component)
    assert describe(jax.tree.unflatten(tree, leaves)) == describe(component)
    assert hash(tree) == hash(jax.tree.structure(component))
    field = {cells.Cell: "cell", drives.Drive: "drive", adcs.ADC: "adc"}
    kind = next(p for p in field if component in {cells.Cell: CELLS, drives.Drive: DRIVES, adcs.ADC: CONVERTERS}[p])
    # Single devices and unsigned pulses, which go with converters of every range.
    others = {"cell": cells.BitPlanes(), "drive": drives.BitSerial(signs=drives.Unsigned())}
    config = AnalogConfig(**{**others, field[kind]: component})
    again = config_files.loads(config_files.dumps(config))
    assert describe(again) == describe(config)
    assert jax.tree.structure(again) == jax.tree.structure(config)


UNITS = {"g_min": "S", "g_max": "S", "t_lsb": "s", "t_pulse": "s", "v_read": "V", "f_adc": "Hz", "i_ref": "A"}


@pytest.mark.parametrize("component", [*CELLS, *DRIVES, *CONVERTERS], ids=name)
def test_fields_are_documented_with_their_units(component):
    for line in describe(component).splitlines()[1:]:
        field, found, _ = line.strip().partition(" = ")
        if found:
            assert line.endswith(")"), f"no documentation: {line}"
        if field in UNITS:
            assert re.search(rf" = [-0-9.a-z]+ [munpkMG]?{UNITS[field]} ", line), line


@pytest.mark.parametrize("component", [*CELLS, *DRIVES, *CONVERTERS], ids=name)
def test_bad_numbers_are_refused_in_every_field(component):
    """Whatever continuous field is not a number, `validate` names it."""
    leaves, tree = jax.tree_util.tree_flatten_with_path(component)
    for index, (path, leaf) in enumerate(leaves):
        broken = [value for _, value in leaves]
        broken[index] = np.full(np.shape(leaf), np.nan) if np.ndim(leaf) else float("nan")
        field = next(key.name for key in reversed(path) if isinstance(key, jax.tree_util.GetAttrKey))
        with pytest.raises(ValueError, match=f"`{field}` of .* nan"):
            jax.tree.unflatten(tree, broken).validate()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("cell", CELLS, ids=name)
def test_cells(x64, cell, dtype):
    w = jnp.linspace(-1, 1, 12, dtype=dtype).reshape(4, 3)
    g = jax.jit(lambda c, w: c.encode(w))(cell, w)
    slices, polarities = len(cell.significance), len(cell.signs)
    assert g.shape == (slices, polarities, 4, 3)
    assert g.dtype == dtype
    assert np.all(g >= cell.g_min * (1 - 1e-6))
    assert np.all(g <= (cell.g_min + cell.g_span) * (1 + 1e-6))
    assert all(0 <= index < slices for index in cell.shared)
    if cell.binary:
        assert set(np.unique(np.asarray(g / cell.g_span))) <= {0.0, 1.0}
    # Many matrices at once are each of them by itself; many windows compile once.
    both = jax.vmap(cell.encode)(jnp.stack([w, -w]))
    np.testing.assert_allclose(both[0], g, rtol=1e-6, atol=1e-12)
    decoded = cell.decode(jnp.ones((2, 5, slices, 3), dtype), jnp.ones((2, 5), dtype))
    assert decoded.shape == (2, 5, 3)
    assert decoded.dtype == dtype
    slope = jax.grad(lambda w: jnp.sum(cell.encode(w)))(w)
    assert np.all(np.isfinite(slope))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("drive", DRIVES, ids=name)
def test_drives(x64, drive, dtype):
    x = jax.random.normal(KEY, (2, 3, 6), dtype)
    encode = jax.jit(lambda d, x: d.encode(x))
    pulses = encode(drive, x)
    planes = len(pulses.significance)
    assert pulses.level.shape == pulses.duration.shape == (2, 3, planes, 6)
    assert pulses.full_scale.shape == (planes,)
    assert pulses.x_scale.shape == (2, 3)
    assert pulses.level.dtype == dtype
    assert np.all(np.abs(pulses.level) <= 1)
    assert np.all((np.asarray(pulses.duration) > 0) == (np.asarray(pulses.level) != 0))
    assert np.all(np.asarray(pulses.duration) < 1e-6)
    if drive.digit:
        whole = np.asarray(pulses.level) * drive.digit
        np.testing.assert_allclose(whole, np.round(whole), atol=1e-4 if dtype == jnp.float32 else 1e-9)
    if not isinstance(drive.range, drives.AbsoluteMaximum):
        one = encode(drive, x[1, 2])
        np.testing.assert_allclose(one.level, pulses.level[1, 2])
        each = jax.vmap(jax.vmap(drive.encode))(x)
        np.testing.assert_allclose(each.level, pulses.level, atol=1e-6)
    slope = jax.grad(lambda x: jnp.sum(drive.encode(x).level))(x)
    assert np.all(np.isfinite(slope))
    assert drive.with_(range=drives.FixedRange(limit=2.0)).range == drives.FixedRange(limit=2.0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("adc", CONVERTERS, ids=name)
def test_converters(x64, adc, dtype):
    planes, slices, cols = 2, 3, 5
    chip = adc.draw_mismatch(KEY, slices, cols)
    for leaf in jax.tree.leaves(chip):
        assert leaf.shape[-2:] == (slices, cols)
    assert bool(jax.tree.leaves(chip)) == adc.mismatched
    weight = jnp.asarray(2.0 ** -np.arange(planes * slices), dtype).reshape(planes, slices, 1)
    readout = Readout(jnp.full((planes, 1, 1), 1e-13, dtype), 8, 16, weight, chip, conversions=planes * slices)
    q = jax.random.normal(KEY, (4, planes, slices, cols), dtype)
    convert = jax.jit(lambda adc, q, key: adc.convert(q, readout, key))
    y = convert(adc, q, KEY)
    assert y.shape == q.shape
    assert y.dtype == dtype
    np.testing.assert_array_equal(y, convert(adc, q, KEY))
    assert bool(np.any(y != convert(adc, q, jax.random.key(4)))) == adc.noisy
    if adc.noisy:
        with pytest.raises(ValueError, match="where the ADC is noisy"):
            adc.convert(q, readout, None)
        # A key for each vector: results do not depend on how the batch is cut.
        keys = jax.random.split(KEY, 4)
        np.testing.assert_allclose(convert(adc, q, keys)[1:3], convert(adc, q[1:3], keys[1:3]), rtol=1e-5)
    # Many chips at once are each of them by itself.
    chips = jax.random.split(KEY, 2)
    of_chip = lambda k: adc.convert(q, readout._replace(converters=adc.draw_mismatch(k, slices, cols)), KEY)  # noqa: E731
    np.testing.assert_allclose(jax.jit(jax.vmap(of_chip))(chips)[1], of_chip(chips[1]), rtol=1e-5, atol=1e-6)
    slope = jax.grad(lambda q: jnp.sum(adc.convert(q, readout, KEY)))(q)
    assert np.all(np.isfinite(slope))
    assert np.any(np.asarray(slope) != 0)
    adc.with_(range=adcs.Span(low=-1.0, high=1.0)).validate()


@pytest.mark.parametrize("cell", CELLS, ids=name)
def test_ideal_tiles_of_every_cell_give_the_product(x64, cell):
    """16-bit inputs, no noise, no wires: what is left is the rounding of inputs and weights."""
    w, x = jax.random.normal(KEY, (7, 3)), jax.random.normal(jax.random.key(1), (5, 7))
    parts = {"device": IdealDevice(), "wires": NoWires(), "adc": adcs.IdealADC(), "rows": 7, "cols": 3}
    y = analog_matmul(AnalogConfig(cell=cell, drive=drives.VoltageDAC(bits=16), **parts), w, x, KEY)
    states = {"Quantised": 31, "DifferentialSlices": 255, "OffsetSlices": 255, "BitPlanes": 255}.get(name(cell), 1e9)
    step = np.abs(w).max() * 2 / (states - 1)
    np.testing.assert_allclose(y, x @ w, atol=1e-3 + step / 2 * np.abs(x).sum(axis=1).max())


@pytest.mark.parametrize(
    "drive", [d for d in DRIVES if not isinstance(getattr(d, "signs", None), drives.Unsigned)], ids=name
)
def test_ideal_tiles_of_every_drive_give_the_product(x64, drive):
    w = jax.random.normal(KEY, (7, 3))
    x = jnp.clip(jax.random.normal(jax.random.key(1), (5, 7)), -1.5, 1.5)
    parts = {"device": IdealDevice(), "wires": NoWires(), "adc": adcs.IdealADC(), "rows": 7, "cols": 3}
    y = analog_matmul(AnalogConfig(cell=cells.Differential(), drive=drive, **parts), w, x, KEY)
    np.testing.assert_allclose(y, x @ w, atol=1.5 / 127 / 2 * np.abs(w).sum(axis=0).max() + 1e-9)
