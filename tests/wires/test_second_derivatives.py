"""N4: second derivatives of every kind of wires, forward over forward and forward over reverse, against differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxaimc.wires import Ladder, Mesh, NonlinearMesh, OpenIdle, Placement, PolynomialIV

RNG = np.random.default_rng(0)
G = RNG.uniform(1e-5, 1e-4, (4, 3))
V = np.array([0.1, 0.5, 0.3, -0.4])
PLACE = Placement(rows=4, cols=3)


def curved(x):
    mesh = Mesh(r_row=1000.0 * x[0], r_col=200.0)
    return NonlinearMesh(mesh=mesh, iv=PolynomialIV(c3=3.0 * x[1])).read(G * x[2], V * x[3]).current


def solved(x):
    return Mesh(r_row=1000.0 * x[0], r_driver=300.0 * x[1], solve_up_to=64).read(G * x[2], V * x[3]).current


def eliminated(x):
    mesh = Mesh(r_row=1000.0 * x[0], r_driver=300.0 * x[1], solve_up_to=0)
    return V * x[3] @ mesh.effective(G[None] * x[2], (1.0,), PLACE).matrix


def ladder(x):
    return V * x[3] @ Ladder(r=1000.0 * x[0], r_out=300.0 * x[1]).effective(G[None] * x[2], (1.0,), PLACE).matrix


def gated(x):
    wires = OpenIdle(r=1000.0 * x[0], r_out=300.0 * x[1])
    circuit = wires.effective(G[None] * x[2], (1.0,), PLACE).circuit
    return circuit.charge(V * x[3], steps=0, timed=True, v_read=0.2)


SLOW = pytest.mark.slow
ORDERS = {"forward": lambda f: jax.jacfwd(jax.jacfwd(f)), "reverse": jax.hessian}


# Compiling is what takes the time. What was silently wrong, curved devices forward over forward, is always tried.
@pytest.mark.parametrize(
    ("read", "order"),
    [
        (curved, "forward"),
        pytest.param(curved, "reverse", marks=SLOW),
        (solved, "reverse"),
        pytest.param(solved, "forward", marks=SLOW),
        pytest.param(eliminated, "forward", marks=SLOW),
        pytest.param(eliminated, "reverse", marks=SLOW),
        (ladder, "forward"),
        pytest.param(ladder, "reverse", marks=SLOW),
        pytest.param(gated, "forward", marks=SLOW),
        (gated, "reverse"),
    ],
    ids=lambda x: getattr(x, "__name__", x),
)
def test_n4_hessians_against_finite_differences(x64, read, order):
    f = jax.jit(lambda x: jnp.sum(jnp.sin(3e4 * read(x) + jnp.arange(3.0))))
    x = jnp.asarray([1.0, 1.1, 0.9, 1.03])
    gradient = jax.jit(jax.grad(f))
    hessian = jax.jit(ORDERS[order](f))(x)
    h = 1e-5
    differences = np.stack([(gradient(x + h * e) - gradient(x - h * e)) / (2 * h) for e in np.eye(4)])
    scale = np.max(np.abs(differences))
    np.testing.assert_allclose(hessian, differences, rtol=0, atol=1e-6 * scale)


@SLOW
@pytest.mark.parametrize(
    ("wires", "read"),
    [
        (Mesh(solve_up_to=0), lambda m: m.effective(jnp.asarray(G)[None], (1.0,), PLACE).matrix),
        (NonlinearMesh(iv=PolynomialIV(c3=3.0)), lambda m: m.read(jnp.asarray(G), jnp.asarray(V)).current),
    ],
    ids=["eliminated", "curved"],
)
def test_n4_hessians_in_all_fields_at_once(x64, wires, read):
    f = jax.jit(lambda m: jnp.sum(1e4 * read(m)))
    leaves, tree = jax.tree.flatten(wires)
    hessian = jax.hessian(lambda *x: f(tree.unflatten(x)), tuple(range(len(leaves))))(*leaves)
    assert all(np.isfinite(entry) for row in hessian for entry in row)
    # The first field is the resistance of row segments in both.
    slope = jax.grad(lambda r: f(tree.unflatten([r, *leaves[1:]])))
    np.testing.assert_allclose(hessian[0][0], (slope(1.01) - slope(0.99)) / 0.02, rtol=1e-3)
