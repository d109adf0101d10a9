"""Derivatives of the fast methods for open idle cells against differences of the charge as they compute it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxaimc._core.xla import short_product
from jaxaimc.wires import Blocks, Left, MeanField, OpenIdle, Placement, Staggered
from jaxaimc.wires.block_ladder import Blocks as BlockRows
from jaxaimc.wires.block_ladder import Ladder, Rows
from jaxaimc.wires.mean_load import forward_mean_load_shares, mean_load_shares

ROWS, COLS = 12, 3
RNG = np.random.default_rng(0)
CONDUCTANCES = RNG.uniform(1e-5, 1e-3, (2, ROWS, COLS))
LEVEL = RNG.uniform(-0.95, 0.95, (2, ROWS))  # pulses end within stretches of time: the charge is smooth there
PROFILE = RNG.uniform(0.1, 0.9, (1, 4, ROWS))
ALONG = {
    "g": 1e-4 * RNG.normal(size=CONDUCTANCES.shape),
    "level": RNG.normal(size=LEVEL.shape),
    "profile": RNG.normal(size=PROFILE.shape),
    "r": 10.0,
    "r_supply": 3.0,
    "r_out": 5.0,
    "adc_segments": 1.0,
}
METHODS = {
    "blocks": Blocks(),
    "blocks of three rows": Blocks(rows=3, bins=5),
    "mean field": MeanField(bins=4),
    "mean field, pulses that start together": MeanField(bins=4),
    "mean field of three": MeanField(bins=4, activities=(0.7, 1.0, 1.4)),
}


@pytest.mark.parametrize("timed", [True, pytest.param(False, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", METHODS)
def test_gradients_against_differences(x64, name, timed):
    @jax.jit
    def f(point):
        fields = {key: point[key] for key in ("r", "r_supply", "r_out", "adc_segments")}
        alignment = Left() if name.endswith("together") else Staggered()
        wires = OpenIdle(**fields, alignment=alignment, method=METHODS[name])
        place = Placement(rows=16, cols=COLS, row_start=3)
        circuit = wires.effective(point["g"], (1.0, -1.0), place, point["profile"]).circuit
        return jnp.sum(jnp.sin(1e3 * circuit.charge(point["level"], steps=127, timed=timed, v_read=0.2)))

    point = {"g": CONDUCTANCES, "level": LEVEL, "profile": PROFILE, "r": 40.0, "r_supply": 5.0, "r_out": 3.0}
    point = jax.tree.map(jnp.asarray, {**point, "adc_segments": 0.5})
    slopes = jax.jit(jax.grad(f))(point)
    h = 1e-5
    for argument, along in ALONG.items():
        # The weights of several activities are taken to be constants.
        if len(getattr(METHODS[name], "activities", ())) > 1 and argument in ("level", "profile"):
            continue
        up, down = (f({**point, argument: point[argument] + s * h * along}) for s in (1, -1))
        expected = (up - down) / (2 * h)
        np.testing.assert_allclose(jnp.sum(slopes[argument] * along), expected, rtol=2e-6, atol=1e-9, err_msg=argument)
        assert abs(expected) > 1e-5 or (argument == "profile" and name.startswith("blocks"))


def test_slopes_of_shares_by_both_ways(x64):
    # One is written by hand for reverse mode, the other is that of a ladder of all loads.
    for ends, r_end in ((1, 0.0), (2, 0.3)):
        given = (RNG.uniform(0, 1, (7, 3)), RNG.uniform(0, 1, (7, ends, 2)), 0.2, np.full(3, r_end))
        second, along = jnp.arange(3) % 2 == ends - 1, RNG.normal(size=(7, 2, 3))
        found, wanted = (
            jax.jit(jax.vjp(lambda g, a, *rest, f=f, s=second: f(g, a, s, *rest), *map(jnp.asarray, given))[1])(along)
            for f in (mean_load_shares, forward_mean_load_shares)
        )
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12), found, wanted)


def test_a_gradient_keeps_no_parts_of_pulses():
    layers, vectors, rows = 5, 2048, 8
    g, level = jnp.full((1, rows, rows), 1e-3), jnp.ones((vectors, rows))
    place = Placement(rows=rows, cols=rows)

    def temporary(bins):
        circuit = OpenIdle(r=20.0, method=MeanField(bins=bins)).effective(g, (1.0,), place).circuit

        def loss(level):
            for _ in range(layers):
                level = jnp.tanh(1e3 * circuit.charge(level, steps=127, timed=True, v_read=0.2))
            return jnp.sum(level)

        return jax.jit(jax.grad(loss)).lower(level).compile().memory_analysis().temp_size_in_bytes

    # Those of one layer at a time exist, in 4 or 2 bytes.
    assert temporary(12) - temporary(2) < 0.5 * layers * 10 * vectors * rows * 4


@pytest.mark.parametrize("at_first", [False, True])
@pytest.mark.parametrize("rows", [1, 7, 20])  # twenty blocks, three of which the last is smaller, one
def test_derivatives_of_block_ladders_are_those_of_reverse_mode(x64, rows, at_first):
    ladder = Ladder(BlockRows(present=20, rows=rows, precise=True), at_first)
    connected, driven = map(jnp.asarray, (RNG.uniform(0, 1, (20, 3)), RNG.uniform(-1, 1, (20, 3))))
    load, drive = map(jnp.asarray, (RNG.uniform(0, 1, (20, 2)), RNG.normal(size=(20, 2))))
    given = (
        Rows(*(ladder.blocks.of_rows(x) for x in (connected, driven))),
        ladder.blocks.of_cells(load, drive),
        jnp.asarray(0.1),
        jnp.asarray(0.3),
    )
    off, pull = jax.vjp(ladder.taken_off, *given)
    by_off = jnp.asarray(RNG.normal(size=off.shape))
    found = ladder.derivatives(*given[:2], given[1].turned, *given[2:], by_off)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11), found, pull(by_off))


def test_short_products_and_their_derivatives_are_right_to_bfloat16():
    x, w, d = (jnp.asarray(RNG.normal(size=shape), jnp.float32) for shape in ((5, 300), (300, 4), (5, 4)))
    y, pull = jax.vjp(short_product, x, w)
    exact = [np.asarray(a, np.float64) for a in (x, w, d)]
    for found, expected in zip((y, *pull(d)), (exact[0] @ exact[1], exact[2] @ exact[1].T, exact[0].T @ exact[2]),
                               strict=True):  # fmt: skip
        error = np.sqrt(np.mean((found - expected) ** 2) / np.mean(expected**2))
        assert error < 2**-8
    assert np.sqrt(np.mean((y - exact[0] @ exact[1]) ** 2) / np.mean((exact[0] @ exact[1]) ** 2)) > 1e-4


def test_short_products_of_inputs_that_tiles_share_have_derivatives():
    # XLA for CPUs refused the transposed inputs, at run time.
    x, w, d = (jnp.asarray(RNG.normal(size=shape), jnp.float32) for shape in ((8, 48), (3, 48, 4), (3, 8, 4)))
    of_tiles = jax.vmap(short_product, (None, 0))
    of_x, of_w = jax.jit(jax.grad(lambda x, w: jnp.vdot(of_tiles(x, w), d), (0, 1)))(x, w)
    np.testing.assert_allclose(of_x, np.einsum("tbo,tio->bi", d, w), atol=0.1)
    np.testing.assert_allclose(of_w, np.einsum("bi,tbo->tio", x, d), atol=0.1)
    shared = jax.vmap(short_product, (0, None))
    of_x, of_w = jax.jit(jax.grad(lambda x, w: jnp.vdot(shared(x, w), d[:, :3]), (0, 1)))(w[..., :3].mT, w[0])
    np.testing.assert_allclose(of_w, np.einsum("tbi,tbo->io", w[..., :3].mT, d[:, :3]), atol=0.1)
    # Derivatives of derivatives, in the same arithmetic.
    again = jax.jit(jax.grad(lambda w: jnp.sum(jax.grad(lambda w: jnp.vdot(of_tiles(x, w), d * w[:, :8]))(w) ** 2)))(w)
    assert jnp.all(jnp.isfinite(again))


def test_derivatives_of_block_ladders_where_sums_are_cut_off_are_those_of_reverse_mode(x64):
    # Shares of rows that end within a stretch can be negative; sums that cannot be are cut off at zero.
    ladder = Ladder(BlockRows(present=20, rows=7, precise=True), at_first=True)
    connected, driven = map(jnp.asarray, RNG.uniform(-0.6, 0.4, (2, 20, 3)))
    load, drive = map(jnp.asarray, (RNG.uniform(0, 1, (20, 2)), RNG.normal(size=(20, 2))))
    given = (Rows(*map(ladder.blocks.of_rows, (connected, driven))), ladder.blocks.of_cells(load, drive))
    off, pull = jax.vjp(ladder.taken_off, *given, jnp.asarray(0.1), jnp.asarray(0.3))
    found = ladder.derivatives(*given, given[1].turned, jnp.asarray(0.1), jnp.asarray(0.3), jnp.ones_like(off))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11), found, pull(jnp.ones_like(off)))
    assert np.min(np.sum(connected[:7], axis=0)) < 0


def test_gradients_of_one_vector_in_planes_over_resistances(x64):
    # As split pulses and bit-serial planes are read; an odd number of columns, read at both ends, with a supply line.
    level = jnp.asarray(RNG.uniform(0.05, 0.95, (1, 2, ROWS)) * RNG.choice([-1.0, 1.0], (1, 2, ROWS)))

    def f(r, g, level):
        wires = OpenIdle(r=r, r_supply=2.0, r_out=7.0, method=Blocks(rows=6, bins=2))
        circuit = wires.effective(g, (1.0, -1.0), Placement(rows=ROWS, cols=COLS)).circuit
        return jnp.sum(jnp.sin(1e3 * circuit.charge(level, steps=127, timed=True, v_read=0.2)))

    resistances = jnp.asarray([0.0, 3.0, 60.0])
    over_r = jax.jit(jax.vmap(f, (0, None, None)))
    slopes = jax.jit(jax.vmap(jax.grad(f, (0, 1, 2)), (0, None, None)))(resistances, CONDUCTANCES, level)
    steps = (np.ones(3), 1e-4 * RNG.normal(size=CONDUCTANCES.shape), RNG.normal(size=level.shape))
    h, given = 1e-6, (resistances, CONDUCTANCES, level)
    for k, step in enumerate(steps):
        up, down = (over_r(*(x + s * h * step if i == k else x for i, x in enumerate(given))) for s in (1, -1))
        along = [np.sum(slopes[k][i] * (step[i] if k == 0 else step)) for i in range(3)]
        np.testing.assert_allclose(along, (up - down) / (2 * h), rtol=2e-6, atol=1e-8)
