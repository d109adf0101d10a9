"""A chip that is read with the configuration of another one, or not prepared: refused, not broadcast."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import pytest

from jaxaimc import AnalogConfig, drift, mvm, prepare, program, tile
from jaxaimc.cells import BitPlanes, Differential, Offset
from jaxaimc.devices import Device
from jaxaimc.wires import Ladder, Placement

CONFIG = AnalogConfig(cell=Differential(), device=Device(), rows=8, cols=4)
PROGRAMMED = program(CONFIG, jnp.ones((6, 6)), jax.random.key(0))
PREPARED = prepare(CONFIG, PROGRAMMED)
OTHERS = {
    "slices": replace(CONFIG, cell=BitPlanes(bits=4)),
    "polarities": replace(CONFIG, cell=Offset()),
    "rows": replace(CONFIG, rows=4),
    "cols": replace(CONFIG, cols=2),
}


@pytest.mark.parametrize("other", ["slices", "rows"])
@pytest.mark.parametrize("read", [mvm, tile.charges])
def test_bad_config_for_a_prepared_matrix(read, other):
    with pytest.raises(ValueError, match=r"`prepared` has arrays of shape .* program it anew"):
        read(OTHERS[other], PREPARED, jnp.ones((2, 6)), jax.random.key(1))


@pytest.mark.parametrize("other", OTHERS)
def test_bad_config_for_programmed_devices(other):
    with pytest.raises(ValueError, match=r"`programmed` has arrays of shape .* program it anew"):
        prepare(OTHERS[other], PROGRAMMED)
    with pytest.raises(ValueError, match=r"`programmed` has arrays of shape .* program it anew"):
        drift(OTHERS[other], PROGRAMMED, 1.0)


def test_bad_stages():
    with pytest.raises(ValueError, match=r"`prepared` must be the result of `jaxaimc.prepare.*but is a Programmed"):
        mvm(CONFIG, PROGRAMMED, jnp.ones(6))
    with pytest.raises(ValueError, match=r"`programmed` must be the result of `jaxaimc.program.*but is a Prepared"):
        prepare(CONFIG, PREPARED)
    with pytest.raises(ValueError, match=r"`programmed` must be .*but is None"):
        drift(CONFIG, None, 1.0)


@pytest.mark.parametrize("placement", [Placement(rows=5, cols=4), Placement(rows=8, cols=4, row_start=-1)])
def test_bad_placements(placement):
    config = replace(CONFIG, wires=Ladder(r=1.0))
    with pytest.raises(ValueError, match=r"6 rows .* does not fit on a tile of . rows"):
        prepare(config, program(config, jnp.ones((6, 4)), jax.random.key(0)), placement)


def test_other_converters_read_the_same_chip():
    quiet = replace(CONFIG, adc=CONFIG.adc.with_(bits=4) if hasattr(CONFIG.adc, "bits") else CONFIG.adc)
    assert mvm(quiet, PREPARED, jnp.ones(6), jax.random.key(1)).shape == (6,)
