"""Every cell of the library does what `jaxaimc.testing.check_cell` asks of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parts import check_as_part, names_of, public

from jaxaimc import AnalogConfig, analog_matmul, cells, component, drives, leaf
from jaxaimc.adcs import IdealADC
from jaxaimc.devices import IdealDevice
from jaxaimc.testing import ConformanceError, check_cell
from jaxaimc.wires import NoWires

KEY = jax.random.key(3)
CELLS = [
    cells.Differential(g_min=1e-6),
    cells.TwoSided(g_min=1e-6),
    cells.Offset(g_min=1e-6),
    cells.UnitColumn(cell=cells.Offset()),
    cells.UnitColumn(cell=cells.BitPlanes()),
    cells.Pairs(factors=(1.0, 2.0)),
    cells.DifferentialSlices(),
    cells.OffsetSlices(),
    cells.BitPlanes(),
    cells.Quantised(cell=cells.Offset(), states=31),
    cells.Quantised(cell=cells.UnitColumn(cell=cells.Offset()), states=15),
]
name = lambda part: type(part).__name__  # noqa: E731


def test_every_cell_is_here():
    assert public(cells, cells.Cell) == names_of(CELLS)


@pytest.mark.parametrize("cell", CELLS, ids=name)
def test_cell_conforms(cell):
    check_cell(cell)


@pytest.mark.parametrize("cell", CELLS, ids=name)
def test_cell_is_a_tree_a_value_and_a_file(cell):
    check_as_part(cell, AnalogConfig(cell=cell, drive=drives.BitSerial(signs=drives.Unsigned())))


@pytest.mark.parametrize("cell", CELLS, ids=name)
def test_ideal_tiles_give_the_product(x64, cell):
    """16-bit inputs, no noise, no wires: what is left is the rounding of inputs and weights."""
    w, x = jax.random.normal(KEY, (7, 3)), jax.random.normal(jax.random.key(1), (5, 7))
    parts = {"device": IdealDevice(), "wires": NoWires(), "adc": IdealADC(), "rows": 7, "cols": 3}
    y = analog_matmul(AnalogConfig(cell=cell, drive=drives.VoltageDAC(bits=16), **parts), w, x, KEY)
    states = {"DifferentialSlices": 255, "OffsetSlices": 255, "BitPlanes": 255, "UnitColumn": 255}.get(name(cell), 1e9)
    states = cell.states if isinstance(cell, cells.Quantised) else states
    step = np.abs(w).max() * 2 / (states - 1)
    np.testing.assert_allclose(y, x @ w, atol=1e-3 + step / 2 * np.abs(x).sum(axis=1).max())


@component
class Backwards(cells.Cell):
    g_max: float = leaf(1e-6, "S", above=0.0)

    @property
    def g_span(self):
        return self.g_max

    def encode(self, w):
        return self.g_max * jnp.abs(w)[None, None]


def test_a_cell_that_loses_the_sign_is_found():
    with pytest.raises(ConformanceError, match="Backwards breaks a rule: weights of minus one, zero and one"):
        check_cell(Backwards())


def test_s2_a_cell_without_its_methods_says_which_are_missing():
    @component
    class Empty(cells.Cell):
        pass

    with pytest.raises(
        TypeError, match=r"Empty is not a whole Cell yet: it lacks `def encode\(self, w\)` and the field `g_span`"
    ):
        Empty()
