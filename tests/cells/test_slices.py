"""Cells: reference values, and that weights come back from conductances."""

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from jaxaimc import AnalogConfig, tile
from jaxaimc.adcs import IdealADC
from jaxaimc.cells import (
    BitPlanes,
    Differential,
    DifferentialSlices,
    Offset,
    OffsetSlices,
    Pairs,
    Quantised,
    TwoSided,
    UnitColumn,
    off_conductance,
)
from jaxaimc.devices import IdealDevice, with_stuck
from jaxaimc.drives import VoltageDAC
from jaxaimc.wires import NoWires

W = np.array([[1.0, -1.0, 0.5, -0.3], [0.01, 0.0, -0.77, 0.25]])
CODES = np.array([[127, -127, 64, -38], [1, 0, -98, 32]])
WINDOW = {"g_min": 0.5e-6, "g_max": 20e-6}


def read_back(cell, w):
    """Decode the charges of one fully driven row at a time: the weights that a perfect tile would see."""
    g = cell.encode(jnp.asarray(w, float))
    q = jnp.einsum("sprc,p->rsc", g, jnp.asarray(cell.signs)) / cell.g_span
    for index in cell.shared:
        q = q.at[:, index].set(q[:, index, :1])
    return cell.decode(q, jnp.ones(len(w)))


EXACT = [
    Differential(**WINDOW),
    TwoSided(**WINDOW),
    Offset(**WINDOW),
    UnitColumn(cell=Offset(**WINDOW)),
    Pairs(factors=(1.0, 1.0), **WINDOW),
    Pairs(factors=(0.25, 1.0, 3.0), **WINDOW),
]
ROUNDED = [
    DifferentialSlices(bits=8, widths=(2, 2, 2, 1), **WINDOW),
    DifferentialSlices(bits=8, widths=(7,), **WINDOW),
    OffsetSlices(bits=8, widths=(2, 2, 2, 2), **WINDOW),
    OffsetSlices(bits=8, widths=(3, 5), **WINDOW),
    BitPlanes(bits=8),
    UnitColumn(cell=OffsetSlices(bits=8, **WINDOW)),
    UnitColumn(cell=BitPlanes(bits=8)),
]


@pytest.mark.parametrize("cell", EXACT, ids=lambda c: type(c).__name__)
def test_weights_come_back_exactly(x64, cell):
    cell.validate()
    np.testing.assert_allclose(read_back(cell, W), W, atol=1e-13)


@pytest.mark.parametrize("cell", ROUNDED, ids=lambda c: type(c).__name__)
def test_rounded_weights_come_back_exactly(x64, cell):
    cell.validate()
    np.testing.assert_allclose(read_back(cell, W), CODES / 127, atol=1e-13)


def test_reference_values_of_differential_slices(x64):
    """Section 1 of the physics notes: 8 bits in four 2-bit slices."""
    cell = DifferentialSlices(bits=8, widths=(2, 2, 2, 1), g_min=0.0, g_max=1.0)
    g = np.asarray(cell.encode(jnp.asarray(W)))
    digits = (g[:, 0] - g[:, 1]) * np.array([3, 3, 3, 1])[:, None, None]
    np.testing.assert_allclose(digits[:, 0, 0], [3, 3, 3, 1], atol=1e-12)
    np.testing.assert_allclose(np.einsum("src,s->rc", digits, [1, 4, 16, 64]), CODES, atol=1e-12)
    expected = [[1, -1, 0.5039370, -0.2992126], [0.0078740, 0, -0.7716535, 0.2519685]]
    np.testing.assert_allclose(read_back(cell, W), expected, atol=5e-8)


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (TwoSided(g_min=1e-6, g_max=21e-6), [[16.0], [6.0]]),
        (Offset(g_min=1e-6, g_max=21e-6), [[16.0]]),
        (UnitColumn(cell=Offset(g_min=1e-6, g_max=21e-6)), [[16.0], [11.0]]),
    ],
    ids=lambda c: type(c).__name__,
)
def test_conductances_of_one_half(x64, cell, expected):
    np.testing.assert_allclose(cell.encode(jnp.full((1, 1), 0.5)).ravel() * 1e6, np.ravel(expected), rtol=1e-12)


def test_pairs_fill_up_from_the_least_significant(x64):
    """Factors 1 and 3: the first pair takes weights up to a quarter, the second what is left."""
    cell = Pairs(factors=(1.0, 3.0), g_min=0.0, g_max=1.0)
    w = np.array([[0.1, 0.25, 0.4, 1.0, -0.4]])
    net = np.asarray(cell.encode(jnp.asarray(w)))[:, 0, 0] - np.asarray(cell.encode(jnp.asarray(w)))[:, 1, 0]
    np.testing.assert_allclose(net, [[0.4, 1, 1, 1, -1], [0, 0, 0.2, 1, -0.2]], atol=1e-12)


@given(
    bits=st.integers(2, 10),
    data=st.data(),
    kind=st.sampled_from([DifferentialSlices, OffsetSlices]),
)
@settings(max_examples=12)
def test_slices_of_any_widths_recombine_to_the_integer(bits, data, kind):
    total = bits - 1 if kind is DifferentialSlices else bits
    widths = []
    while sum(widths) < total:
        widths.append(data.draw(st.integers(1, total - sum(widths))))
    largest = 2 ** (bits - 1) - 1
    codes = np.arange(-largest, largest + 1)[None]
    with jax.enable_x64(True):
        cell = kind(bits=bits, widths=tuple(widths), g_min=0.0, g_max=1.0)
        np.testing.assert_allclose(read_back(cell, codes / largest) * largest, codes, atol=1e-9)


@pytest.mark.parametrize("bits", range(2, 13))
def test_bit_planes_are_twos_complement(x64, bits):
    largest = 2 ** (bits - 1) - 1
    codes = np.arange(-largest, largest + 1)
    planes = np.asarray(BitPlanes(bits=bits, g_max=1.0).encode(jnp.asarray(codes[None] / largest)))[:, 0, 0]
    expected = (codes % 2**bits)[None] >> np.arange(bits)[:, None] & 1
    np.testing.assert_allclose(planes, expected, atol=1e-12)


@pytest.mark.parametrize("cell", [*EXACT, *ROUNDED], ids=lambda c: type(c).__name__)
def test_gradient_of_the_weight_is_one(x64, cell):
    slope = jax.grad(lambda w: jnp.sum(read_back(cell, w)))(jnp.asarray(W * 0.9 + 0.001))
    np.testing.assert_allclose(slope, 1.0, atol=1e-9)


def test_states_are_equally_spaced_and_hold_zero(x64):
    cell = Quantised(cell=Offset(g_min=1e-6, g_max=15e-6), states=15)
    cell.validate()
    g = cell.encode(jnp.linspace(-1, 1, 400)[None])
    np.testing.assert_allclose(np.unique(np.round(g * 1e6, 9)), np.arange(1, 16))
    np.testing.assert_allclose(read_back(cell, np.zeros((1, 1))), 0.0, atol=1e-12)


@pytest.mark.parametrize("cell", [*EXACT[:3], *ROUNDED[:5]], ids=lambda c: type(c).__name__)
def test_stuck_devices_act_on_their_own_slice_and_polarity(x64, cell):
    """A tenth stuck on, a tenth off: the tile multiplies by what the stuck conductances decode to, day after day."""
    g_on = cell.g_min + cell.g_span
    device = with_stuck(IdealDevice(), on=0.1, off=0.1, g_on=g_on, g_off=cell.g_min)
    parts = {"wires": NoWires(), "adc": IdealADC(), "rows": 40, "cols": 30, "column_scales": False}
    config = AnalogConfig(cell=cell, device=device, drive=VoltageDAC(bits=16), **parts)
    w = jax.random.uniform(jax.random.key(0), (40, 30), minval=-0.9, maxval=0.9).at[0, 0].set(1.0)
    key = jax.random.key(1)
    programmed = tile.program(config, w, key)
    g = programmed.g[0, 0]
    moved = np.asarray(g != cell.encode(w))
    at_end = np.isin(np.asarray(g)[moved], [float(g_on), float(cell.g_min)])
    # Encoding may differ by a rounding between compiled and not; no healthy device is moved.
    assert np.all(at_end | (np.abs(np.asarray(g - cell.encode(w)))[moved] < 1e-20))
    assert 0.08 < np.mean(np.abs(np.asarray(g - cell.encode(w))) > 1e-12) < 0.21
    charges = jnp.einsum("sprc,p->rsc", g, jnp.asarray(cell.signs)) / cell.g_span
    seen = cell.decode(charges, jnp.ones(40))
    x = jnp.eye(40)
    for t in (0.0, 1e7):
        prepared = tile.prepare(config, tile.drift(config, programmed, t))
        np.testing.assert_allclose(tile.mvm(config, prepared, x), seen, atol=1e-9)


def test_on_off_ratio():
    assert off_conductance(25e-6, 50.0) == pytest.approx(0.5e-6)
    assert off_conductance(25e-6, np.inf) == 0.0
    with pytest.raises(ValueError, match=r"`on_off_ratio` of off_conductance must be in \(1, inf\]"):
        off_conductance(25e-6, 1.0)
    with pytest.raises(ValueError, match="`g_max` of off_conductance"):
        off_conductance(-25e-6, 10.0)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Quantised(cell=Offset(), states=16).validate(), "`states` of Quantised must make a weight of zero"),
        (lambda: Quantised(cell=Differential(), states=1), r"`states` of Quantised must be an integer in \[2, 65536\]"),
        (
            lambda: DifferentialSlices(bits=8, widths=(4, 4)).validate(),
            "add up to the 7 magnitude bits of a weight of 8 bits",
        ),
        (lambda: OffsetSlices(bits=8, widths=()).validate(), r"`widths` of OffsetSlices .* but is \(\)"),
        (lambda: BitPlanes(bits=1), r"`bits` of BitPlanes must be an integer in \[2, 16\], but is 1"),
        (lambda: Pairs(factors=()).validate(), "`factors` of Pairs must hold at least one number"),
        (lambda: Pairs(factors=(3.0, 1.0)).validate(), "`factors` of Pairs must begin with the least significant pair"),
        (lambda: Pairs(factors=(1.0, 0.0)).validate(), r"`factors` of Pairs must be in \(0, inf\), but is 0"),
        (lambda: TwoSided(g_min=30e-6).validate(), "`g_min` of TwoSided must be less than `g_max`"),
        (
            lambda: UnitColumn(cell=UnitColumn()).validate(),
            "`cell` of UnitColumn must be a cell without shared columns",
        ),
    ],
)
def test_bad_cells(build, message):
    with pytest.raises(ValueError, match=message):
        build()
