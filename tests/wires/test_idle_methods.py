"""Fast methods for open idle cells against the solution of every step, over the effect of the wires."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxaimc.wires import (
    Blocks,
    Centred,
    EveryStep,
    Ladder,
    Left,
    MeanField,
    OpenIdle,
    Placement,
    Right,
    Staggered,
)

SIGNS = (1.0, -1.0)
BETWEEN = MeanField(bins=8, activities=(0.7, 1.0, 1.4))
# Largest error over the effect of the wires: that of `Blocks` is promised, that of `MeanField` was measured.
MEAN_FIELD = {64: (0.29, 0.18), 128: (0.22, 0.15), 512: (0.14, 0.06)}
METHODS = [Blocks(error=0.01), Blocks(error=0.02), Blocks(error=0.05), MeanField(bins=4), BETWEEN]


def example(rows, cols, vectors, kind="normal", seed=0):
    """Conductances of normal weights [S], and pulses of normal or rectified inputs in whole steps of 127."""
    rng = np.random.default_rng(seed)
    w = np.clip(rng.normal(size=(rows, cols)) / 3, -1, 1)
    x = rng.normal(size=(vectors, rows))
    x = np.maximum(x, 0) if kind == "rectified" else x
    level = np.round(127 * x / np.max(np.abs(x), axis=1, keepdims=True)) / 127
    return jnp.asarray(25e-6 * np.stack([np.maximum(w, 0), np.maximum(-w, 0)])), jnp.asarray(level)


def charge(wires, g, level, *, steps=127, timed=True, place=None, profile=None):
    place = place or Placement(rows=g.shape[1], cols=g.shape[2])
    circuit = wires.effective(g, SIGNS, place, profile).circuit
    return circuit.charge(level, steps=steps, timed=timed, v_read=0.2)


def profile_of(wires, level, *, steps=127, timed=True):
    return jnp.mean(wires.activity(level, steps=steps, timed=timed), axis=0)[None]


def over_effect(found, exact, ideal):
    return float(jnp.sqrt(jnp.mean((found - exact) ** 2) / jnp.mean((exact - ideal) ** 2)))


@pytest.mark.parametrize("r", [0.15, 1.0, 20.0])
@pytest.mark.parametrize("kind", ["normal", "rectified"])
@pytest.mark.parametrize("rows", [64, *(pytest.param(rows, marks=pytest.mark.slow) for rows in (128, 512))])
def test_error_over_the_effect_of_the_wires(x64, rows, kind, r):
    g, level = example(rows, 8, 16, kind)
    wires, ideal = OpenIdle(r=r), level @ (g[0] - g[1])
    exact = charge(wires, g, level)
    for method in METHODS:
        fast = replace(wires, method=method)
        found = over_effect(charge(fast, g, level, profile=profile_of(fast, level)), exact, ideal)
        print(f"{rows} rows, {kind}, {r} ohm, {method}: {found:.4f}")
        assert found < (method.error if isinstance(method, Blocks) else MEAN_FIELD[rows][method == BETWEEN]), method
    held = Ladder(r=r, v_adc=0.0, v_idle=0.0).effective(g, SIGNS, Placement(rows=rows, cols=8)).matrix
    off = over_effect(level @ held, exact, ideal)
    print(f"{rows} rows, {kind}, {r} ohm, held: {off:.2f}")
    if rows == 64:  # cells that are held when idle are another circuit
        assert off > 0.6
        # Of vectors that are far more active than the profile says, several activities know the load.
        one, three = (
            over_effect(charge(fast, g, level, profile=profile_of(fast, level / 3)), exact, ideal)
            for fast in (replace(wires, method=METHODS[3]), replace(wires, method=BETWEEN))
        )
        assert three < 0.5 * one


@pytest.mark.parametrize(
    "alignment",
    [Staggered(), *(pytest.param(one, marks=pytest.mark.slow) for one in (Left(), Right(), Centred()))],
    ids=lambda a: type(a).__name__,
)
def test_blocks_of_all_alignments_ends_and_pulses(x64, alignment):
    g, level = example(40, 5, 8)
    wires = OpenIdle(r=10.0, r_supply=2.0, r_out=15.0, adc_segments=1.5, alignment=alignment)
    place = Placement(rows=64, cols=9, row_start=10, col_start=1)
    # Pulse-width codes, the short ones of split pulses, bit planes.
    for steps, timed, alternate in ((31, True, True), (7, True, False), (1, False, True)):
        codes = jnp.round(level * steps) / steps
        known = {"steps": steps, "timed": timed, "place": place}
        exact, found = (
            charge(replace(wires, method=method, alternate=alternate), g, codes, **known)
            for method in (EveryStep(), Blocks())
        )
        assert over_effect(found, exact, codes @ (g[0] - g[1])) < 0.02, (steps, timed, alternate)


def test_fewer_blocks_do_where_much_of_the_wire_lies_beyond_the_rows(x64):
    g, level = example(48, 6, 16, "rectified")
    wires, middle = OpenIdle(r=2.0), Placement(rows=512, cols=6, row_start=232)
    exact = charge(wires, g, level, place=middle)
    for method in (Blocks(error=0.01), Blocks(error=0.1)):
        fast = replace(wires, method=method)
        found = charge(fast, g, level, place=middle)
        assert over_effect(found, exact, level @ (g[0] - g[1])) < method.error
        rows = [
            fast.effective(g, SIGNS, Placement(rows=512, cols=6, row_start=start)).circuit.sizes(127, True)[1]
            for start in (0, 40, 232)
        ]
        # Columns are read at both ends of the tile, and the nearer one counts.
        assert rows[0] < rows[1] <= rows[2]


@pytest.mark.parametrize("alternate", [True, False])
@pytest.mark.parametrize("method", [MeanField(bins=4), BETWEEN], ids=["one activity", "three activities"])
def test_mean_field_of_amplitudes_is_that_of_connected_rows(x64, method, alternate):
    # With a profile of these very vectors there is nothing to approximate; with one of timed pulses it is one matrix.
    g, _ = example(12, 3, 1)
    level = jnp.asarray([0.4, -1.0, 0.0] * 4)[None] * jnp.asarray([[1.0], [0.5], [-0.25], [1.0]])
    wires = OpenIdle(r=300.0, method=method, alternate=alternate)
    found = charge(wires, g, level, timed=False, profile=profile_of(wires, level, timed=False))
    exact = charge(replace(wires, method=EveryStep()), g, level, timed=False)
    np.testing.assert_allclose(found, exact, rtol=1e-12)
    timed = charge(wires, g, level, timed=False, profile=jnp.broadcast_to(level[:1] != 0, (1, 4, 12)).astype(float))
    np.testing.assert_allclose(timed, exact, rtol=1e-12)


ALL = {"blocks": Blocks(), "mean field": MeanField(bins=4), "mean field of three": BETWEEN}
each_method = pytest.mark.parametrize("method", ALL.values(), ids=ALL)


@each_method
def test_nothing_to_drop_is_the_plain_product(x64, method):
    g, level = example(10, 3, 4)
    free = charge(OpenIdle(r=0.0, method=method), g, level)
    np.testing.assert_allclose(free, level @ (g[0] - g[1]), rtol=1e-13, atol=1e-20)
    wires = OpenIdle(r=50.0, method=method)
    assert not np.any(charge(wires, 0 * g, level))
    for known in ({}, {"profile": profile_of(wires, 0 * level)}):
        assert not np.any(charge(wires, g, 0 * level, **known))
    assert charge(wires, g, level[:0]).shape == (0, 3)
    assert charge(wires, g, level[:, None][:0]).shape == (0, 1, 3)


def test_one_row_one_column_and_blocks_that_do_not_fill_the_rows(x64):
    g, level = example(10, 3, 4)
    for rows, cols, method, bound in (
        (1, 3, Blocks(rows=1, bins=127), 1e-9),
        (10, 1, Blocks(), 0.02),
        (10, 3, Blocks(rows=4, bins=16), 0.1),
        (10, 3, Blocks(rows=64, bins=16), 0.2),
    ):
        some, pulses = g[:, :rows, :cols], level[:, :rows]
        wires = OpenIdle(r=40.0)
        exact = charge(wires, some, pulses)
        fast = replace(wires, method=method)
        found = charge(fast, some, pulses, profile=profile_of(fast, pulses))
        assert over_effect(found, exact, pulses @ (some[0] - some[1])) < bound, (rows, cols, method)


@each_method
def test_single_precision_keeps_the_digits_of_the_product(x64, method):
    g, level = example(64, 4, 16)
    wires = OpenIdle(r=5.0, method=method)
    known = profile_of(wires, level)
    double = charge(wires, g, level, profile=known)
    single = charge(wires, *(a.astype(jnp.float32) for a in (g, level)), profile=known.astype(jnp.float32))
    assert single.dtype == jnp.float32
    # What the wires take is a product of bfloat16 factors.
    assert over_effect(single, double, level @ (g[0] - g[1])) < 5e-3


@each_method
def test_jit_and_vmap_over_chips_and_resistances_are_loops(x64, method):
    g, level = example(12, 3, 4)
    chips, resistances = jnp.stack([g, g / 2]), jnp.asarray([0.0, 3.0, 200.0])

    @jax.jit
    def read(r, g):
        return charge(OpenIdle(r=r, method=method), g, level)

    found = jax.vmap(jax.vmap(read, (None, 0)), (0, None))(resistances, chips)
    for k, r in enumerate([0.0, 3.0, 200.0]):
        for chip in range(2):
            alone = charge(OpenIdle(r=r, method=method), chips[chip], level)
            np.testing.assert_allclose(found[k, chip], alone, rtol=1e-11, atol=1e-20)


@pytest.mark.parametrize(
    ("method", "values"),
    [
        ({"error": 0}, "`error` of Blocks .* is 0"),
        ({"error": 2}, "`error` of Blocks .* is 2"),
        ({"rows": 0}, "`rows` of Blocks .* 0"),
        ({"bins": None}, "`bins` of MeanField .* None"),
        ({"bins": 0}, "`bins` of MeanField .* 0"),
        ({"activities": ()}, r"`activities` of MeanField .* \(\)"),
        ({"activities": (1.0, 0.7)}, r"`activities` of MeanField .* \(1.0, 0.7\)"),
        ({"activities": (0.0,)}, r"`activities` of MeanField .* \(0.0,\)"),
    ],
    ids=str,
)
def test_bad_methods_are_refused(method, values):
    with pytest.raises(ValueError, match=f"Field {values}"):
        OpenIdle(method=(Blocks if "of Blocks" in values else MeanField)(**method)).validate()


def test_bad_steps_of_a_method_without_steps_are_refused():
    with pytest.raises(ValueError, match=r"Field `steps` of OpenIdle must be None with `method=Blocks.* is 7"):
        OpenIdle(steps=7, method=Blocks()).validate()
