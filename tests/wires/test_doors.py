"""What reads refuse, what empty batches give, and how often eager calls compile."""

import jax.numpy as jnp
import numpy as np
import pytest
from compilations import compilations

from jaxaimc.wires import (
    AlphaBeta,
    Ladder,
    Mesh,
    NonlinearMesh,
    OpenIdle,
    Placement,
    PolynomialIV,
    StaticFactor,
)

PLACE = Placement(rows=3, cols=2)
G = jnp.full((3, 2), 1e-4)
CURVED = NonlinearMesh(iv=PolynomialIV(c3=1.0), signs=(1.0,))


@pytest.mark.parametrize("value", [-1e-6, np.nan, np.inf])
def test_bad_c11_conductances_are_refused_at_every_door(value):
    g, v = G.at[1, 0].set(value), jnp.ones(3)
    message = (
        r"Argument `g` must hold conductances in \[0, inf\) S, but 1 of 6 entries do not, the first .* at \(1, 0\)"
    )
    for read in (Mesh().read, Mesh(solve_up_to=0).read, Mesh().operating_point, CURVED.read):
        with pytest.raises(ValueError, match=message):
            read(g, v)
    for wires in (Ladder(), Mesh(), CURVED, OpenIdle(), AlphaBeta(), StaticFactor()):
        with pytest.raises(ValueError, match=r"Argument `g` must hold conductances .* at \(0, 1, 0\)"):
            wires.effective(g[None], (1.0,), PLACE)


def test_bad_c11_voltages_are_refused():
    for read in (Mesh().read, CURVED.read, Mesh().operating_point):
        with pytest.raises(
            ValueError, match=r"Argument `v` must hold finite voltages \[V\], but 1 of 3 .* nan V at \(2,\)"
        ):
            read(G, jnp.array([0.1, 0.2, jnp.nan]))
    with pytest.raises(ValueError, match=r"Argument `v` must have shape \(..., rows=3\)"):
        CURVED.read(G, jnp.ones(4))


@pytest.mark.parametrize("batch", [(0,), (2, 0), (0, 3)])
def test_n2_empty_batches_give_empty_results(batch):
    level = jnp.zeros((*batch, 3))
    for wires in (OpenIdle(), CURVED, StaticFactor()):
        circuit = wires.effective(G[None], (1.0,), PLACE).circuit
        for timed in (True, False):
            assert circuit.charge(level, steps=3, timed=timed, v_read=0.2).shape == (*batch, 2)
    for wires in (Mesh(), Mesh(solve_up_to=0), CURVED):
        reading = wires.read(G, level)
        assert reading.current.shape == (*batch, 2)
        assert reading.outcome.residual.shape == batch


@pytest.mark.slow
def test_n6_eager_calls_compile_once():
    v, level = jnp.ones((2, 3)), jnp.ones((2, 3))

    def everything(scale):
        g = G * scale
        Mesh(r_row=scale).read(g, v)
        Mesh(r_row=scale).operating_point(g, v[0])
        for wires in (Ladder(r=scale), Mesh(r_row=scale), AlphaBeta(r_row=scale)):
            wires.effective(g[None], (1.0,), PLACE)
        OpenIdle(r=scale).effective(g[None], (1.0,), PLACE).circuit.charge(level, steps=3, timed=True, v_read=0.2)
        curved = NonlinearMesh(mesh=Mesh(r_row=scale), iv=PolynomialIV(c3=scale), signs=(1.0,))
        curved.read(g, v)
        curved.effective(g[None], (1.0,), PLACE).circuit.charge(level, steps=3, timed=True, v_read=0.2)

    everything(1.0)
    with compilations() as found:
        everything(2.0)
    assert not found
