"""Every drive of the library does what `jaxaimc.testing.check_drive` asks of it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from parts import check_as_part, names_of, public
from tiers import mostly_slow

from jaxaimc import AnalogConfig, analog_matmul, cells, component, drives, leaf
from jaxaimc.adcs import IdealADC
from jaxaimc.devices import IdealDevice
from jaxaimc.testing import ConformanceError, check_drive
from jaxaimc.wires import NoWires

KEY = jax.random.key(3)
DRIVES = [
    drives.PWM(),
    drives.SplitPWM(),
    drives.BitSerial(),
    drives.BitSerial(group=3, signs=drives.TwoPasses(), range=drives.AbsoluteMaximum()),
    drives.BitSerial(signs=drives.TwosComplement(), accumulates=True, range=drives.FixedRange(limit=1.5)),
    drives.BitSerial(bits=1, signs=drives.Unsigned()),
    drives.BitGroups(widths=(2, 4), signs=drives.Unsigned()),
    drives.BitGroups(widths=(3, 1), signs=drives.TwosComplement(), range=drives.FixedRange(limit=1.5)),
    drives.VoltageDAC(range=drives.LearnedRange(limit=1.5)),
]
name = lambda part: type(part).__name__  # noqa: E731


def test_every_drive_is_here():
    assert public(drives, drives.Drive) == names_of(DRIVES)


@pytest.mark.parametrize("drive", mostly_slow(DRIVES, lambda drive: drive in DRIVES[::3]), ids=name)
def test_drive_conforms(drive):
    check_drive(drive)


@pytest.mark.parametrize("drive", DRIVES, ids=name)
def test_drive_is_a_tree_a_value_and_a_file(drive):
    check_as_part(drive, AnalogConfig(cell=cells.BitPlanes(), drive=drive))


@pytest.mark.parametrize(
    "drive", [d for d in DRIVES if not isinstance(getattr(d, "signs", None), drives.Unsigned)], ids=name
)
def test_ideal_tiles_give_the_product(x64, drive):
    w = jax.random.normal(KEY, (7, 3))
    x = jnp.clip(jax.random.normal(jax.random.key(1), (5, 7)), -1.5, 1.5)
    parts = {"device": IdealDevice(), "wires": NoWires(), "adc": IdealADC(), "rows": 7, "cols": 3}
    y = analog_matmul(AnalogConfig(cell=cells.Differential(), drive=drive, **parts), w, x, KEY)
    steps = 15 if drive == DRIVES[7] else 127
    np.testing.assert_allclose(y, x @ w, atol=1.5 / steps / 2 * np.abs(w).sum(axis=0).max() + 1e-9)


@component
class Backwards(drives.PWM):
    v_read: float = leaf(0.2, "V", above=0.0)

    def encode(self, x):
        return super().encode(-x)


def test_a_drive_that_turns_the_sign_is_found():
    with pytest.raises(ConformanceError, match="Backwards breaks a rule: an input that is driven must keep its sign"):
        check_drive(Backwards())
