"""One suite over all wires, and proof that it catches wires that break a rule."""

import jax.numpy as jnp
import pytest
from parts import names_of, public

from jaxaimc import component, leaf, wires
from jaxaimc.testing import ConformanceError, check_wires
from jaxaimc.wires import (
    AlphaBeta,
    Blocks,
    ConjugateGradient,
    InterleavedColumns,
    InterleavedRows,
    Ladder,
    Linear,
    MeanField,
    Mesh,
    NonlinearMesh,
    NoWires,
    OpenIdle,
    PolynomialIV,
    Staggered,
    StaticFactor,
    Wires,
)
from jaxaimc.wires.base import unloaded

WIRES = {
    "none": NoWires(),
    "ladder": Ladder(r=5.0),
    "mesh": Mesh(r_row=30.0, r_col=20.0, layout=InterleavedColumns()),
    "mesh by elimination": Mesh(r_row=30.0, r_col=20.0, layout=InterleavedRows(), solve_up_to=0),
    "open idle": OpenIdle(r=30.0),
    "open idle, staggered": OpenIdle(r=30.0, alignment=Staggered()),
    "open idle, blocks": OpenIdle(r=30.0, method=Blocks()),
    "open idle, mean field": OpenIdle(r=30.0, method=MeanField()),
    "open idle, mean field of three": OpenIdle(r=30.0, method=MeanField(activities=(0.7, 1.0, 1.4))),
    "curved": NonlinearMesh(mesh=Mesh(r_row=30.0, method=ConjugateGradient()), iv=PolynomialIV(c3=3.0)),
    "alpha beta": AlphaBeta(r_row=30.0),
    "static factor": StaticFactor(),
}


def test_all_wires_are_here():
    assert public(wires, Wires) == names_of(WIRES.values())


SLOW = ("mesh by elimination", "curved")  # half a minute of compilation each


@pytest.mark.parametrize("name", [pytest.param(name, marks=pytest.mark.slow if name in SLOW else ()) for name in WIRES])
def test_built_in_wires(name):
    check_wires(WIRES[name])


@component
class Amplifies(Wires):
    """Gives more than the devices do."""

    gain: float = leaf(1.5)

    def effective(self, g, signs, placement):
        linear = unloaded(g, signs)
        return linear._replace(matrix=self.gain * linear.matrix, sensitivity=self.gain * linear.sensitivity)


@component
class Leaks(Wires):
    """Carries a current where every device is open."""

    def effective(self, g, signs, placement):
        linear = unloaded(g, signs)
        return linear._replace(matrix=linear.matrix + 1e-9)


@component
class OneTooMany(Wires):
    """Returns a row that is not there."""

    def effective(self, g, signs, placement):
        linear = unloaded(g, signs)
        return linear._replace(matrix=jnp.pad(linear.matrix, ((0, 1), (0, 0))))


@component
class NotExact(Wires):
    """Says that it is exact, and is not."""

    @property
    def exact(self):
        return True

    def effective(self, g, signs, placement):
        return Linear(0.9 * unloaded(g, signs).matrix, 0.9 * jnp.ones_like(g), jnp.zeros(g.shape[2:], g.dtype))


@component
class Misnamed(Wires):
    """Names a resistance that it does not have."""

    resistances = ("r",)

    def effective(self, g, signs, placement):
        return unloaded(g, signs)


class Unrelated:
    """No wires at all."""


@pytest.mark.parametrize(
    ("wires", "text"),
    [
        (Amplifies(), "no more than its own current"),
        (Leaks(), "open devices must carry nothing"),
        (OneTooMany(), r"shape \(rows, cols\)"),
        (NotExact(), "the conductances themselves"),
        (Misnamed(), "fields that can be set"),
        (Unrelated(), "must derive from"),
    ],
    ids=lambda x: type(x).__name__ if not isinstance(x, str) else "",
)
def test_bad_wires_are_caught(wires, text):
    with pytest.raises(ConformanceError, match=f"{type(wires).__name__} breaks a rule: .*{text}"):
        check_wires(wires)
