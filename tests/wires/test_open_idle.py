"""Open idle cells: a nodal solve per time step as oracle, properties, gradients, fast approximation, whole tiles."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jax.test_util import check_grads

from jaxaimc import AnalogConfig, tile
from jaxaimc.adcs import IdealADC
from jaxaimc.devices import IdealDevice
from jaxaimc.drives import PWM
from jaxaimc.wires import Centred, Left, NoWires, OpenIdle, Placement, Right, Staggered

ROWS, COLS, STEPS = 6, 3, 7
TILE = Placement(rows=9, cols=4, row_start=1)


def column_current(g, drive, r, r_end):
    """Current at the last node's end [A/V], far end first: dense nodal equations with segments as conductances."""
    n = len(g)
    y = np.diag(g + np.eye(n)[-1] / r_end)
    for s in range(n - 1):
        y[s : s + 2, s : s + 2] += np.array([[1, -1], [-1, 1]]) / r
    return np.linalg.solve(y, drive)[-1] / r_end


def oracle(g, k, start, r=40.0, adc_segments=0.5):
    """Charge per volt and per full window, step by step."""
    load, drive = g.sum(0), g[0] - g[1]
    total = np.zeros(COLS)
    for t in range(STEPS):
        on = (start <= t) & (t < start + np.abs(k))
        for j in range(COLS):
            order, lead = (slice(None), 2) if j % 2 == 0 else (slice(None, None, -1), 1)
            current = column_current((load[:, j] * on)[order], (drive[:, j] * on * np.sign(k))[order], r,
                                     r * (adc_segments + lead))  # fmt: skip
            total[j] += current / STEPS
    return total


def example(seed):
    rng = np.random.default_rng(seed)
    g = rng.uniform(0, 1e-3, (2, ROWS, COLS)) * (rng.random((2, ROWS, COLS)) < 0.7)
    return g, rng.integers(-STEPS, STEPS + 1, ROWS)


def charge(g, level, **fields):
    wires = OpenIdle(**{"r": 40.0, "steps": STEPS, **fields})
    circuit = wires.effective(jnp.asarray(g), (1.0, -1.0), TILE).circuit
    return circuit.charge(jnp.asarray(level), steps=0, timed=True, v_read=0.2)


@pytest.mark.parametrize("alignment", [Left(), Right(), Staggered()], ids=lambda a: type(a).__name__)
def test_against_a_nodal_solve_per_step(x64, alignment):
    for seed in range(3):
        g, k = example(seed)
        start = np.asarray(alignment.start(jnp.abs(jnp.asarray(k)) / STEPS) * STEPS).round()
        found = charge(g, k / STEPS, alignment=alignment)
        np.testing.assert_allclose(found, oracle(g, k, start), rtol=0, atol=1e-12)


def test_single_precision(x64):
    g, k = example(3)
    found = charge(jnp.asarray(g, jnp.float32), jnp.asarray(k / STEPS, jnp.float32))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, oracle(g, k, 0 * k), rtol=0, atol=1e-9)


def test_alignment_matters_only_where_rows_differ_in_it(x64):
    g, k = example(4)
    left, right, centred, staggered = (
        charge(g, k / STEPS, alignment=a, steps=2 * STEPS) for a in (Left(), Right(), Centred(), Staggered())
    )
    np.testing.assert_allclose(right, left, rtol=1e-12)
    np.testing.assert_allclose(centred, left, rtol=1e-12)
    assert float(jnp.max(jnp.abs(staggered - left))) > 1e-6


def test_supply_line_adds_its_resistance(x64):
    # Fed and read at the same end, the same current returns through both lines at every place.
    g, k = example(5)
    np.testing.assert_allclose(charge(g, k / STEPS, r=30.0, r_supply=10.0), charge(g, k / STEPS), rtol=1e-12)


whole_window = jax.jit(lambda g, level: charge(g, level, steps=STEPS))
finer_steps = jax.jit(lambda g, level: charge(g, level, steps=2 * STEPS))


@given(st.integers(0, 10_000))
def test_homogeneous_and_odd(seed):
    with jax.enable_x64(True):
        g, k = example(seed)
        level = jnp.asarray(k / STEPS)
        # All pulses shortened alike, to whole steps of a finer grid.
        whole, fraction = whole_window(g, level), finer_steps(g, level / 2)
        np.testing.assert_allclose(fraction, whole / 2, rtol=1e-9, atol=1e-16)
        np.testing.assert_allclose(whole_window(g, -level), -whole, rtol=1e-9, atol=1e-16)


def test_two_rows_together_are_less_than_their_sum(x64):
    g = np.stack([np.full((ROWS, COLS), 1e-3), np.zeros((ROWS, COLS))])
    one, two = np.eye(ROWS)[0], np.eye(ROWS)[1]
    assert bool(jnp.all(charge(g, one + two) < 0.99 * (charge(g, one) + charge(g, two))))


def test_without_wires_it_is_the_plain_product(x64):
    g, k = example(6)
    np.testing.assert_allclose(charge(g, k / STEPS, r=0.0), k / STEPS @ (g[0] - g[1]), rtol=1e-12, atol=1e-18)


def test_error_of_long_steps_falls_with_their_square(x64):
    rng = np.random.default_rng(7)
    w = rng.normal(size=(256, 8))
    g = np.stack([np.maximum(w, 0), np.maximum(-w, 0)]) * 1e-5
    level = jnp.asarray(np.clip(np.round(rng.normal(size=(4, 256)) * 40), -127, 127) / 127)

    def read(steps):
        wires = OpenIdle(r=0.3, steps=steps)
        circuit = wires.effective(jnp.asarray(g), (1.0, -1.0), Placement(rows=256, cols=8)).circuit
        return circuit.charge(level, steps=0, timed=True, v_read=0.2)

    exact = read(127)
    effect = jnp.sqrt(jnp.mean((exact - level @ jnp.asarray(g[0] - g[1])) ** 2))
    errors = [float(jnp.sqrt(jnp.mean((read(n) - exact) ** 2)) / effect) for n in (8, 16, 32)]
    assert errors[0] < 0.04
    assert errors[1] < 0.4 * errors[0]
    assert errors[2] < 0.4 * errors[1]


def test_gradients_against_finite_differences(x64):
    g, _ = example(8)
    rng = np.random.default_rng(9)
    level = jnp.asarray(rng.uniform(-0.95, 0.95, ROWS))  # ends within steps: the charge is smooth there

    @jax.jit
    def f(g, level, r, r_out, r_supply, adc_segments):
        fields = {"r": r, "r_out": r_out, "r_supply": r_supply, "adc_segments": adc_segments}
        return jnp.sum(jnp.sin(3e3 * charge(g * 1e-3, level, alignment=Staggered(), **fields)))

    arguments = (jnp.asarray(g * 1e3 + 0.1), level, 40.0, 3.0, 5.0, 0.5)
    check_grads(f, tuple(map(jnp.asarray, arguments)), 1, ["fwd", "rev"], atol=1e-6, rtol=1e-6, eps=1e-6)


def test_gradient_in_a_pulse_that_ends_on_a_boundary_is_the_mean_of_both_sides(x64):
    g, _ = example(10)
    level = jnp.asarray(np.array([3, -2, 5, 0, 7, -4]) / STEPS)
    f = jax.jit(lambda x: jnp.sum(charge(g, x)))
    slope = jax.grad(f)(level)
    for i in range(ROWS):
        h = 1e-7 * np.eye(ROWS)[i]
        up, down = (f(level + h) - f(level)) / 1e-7, (f(level) - f(level - h)) / 1e-7
        expected = down if i == 4 else (up + down) / 2  # a full pulse can only get shorter
        np.testing.assert_allclose(slope[i], expected, rtol=1e-5, atol=1e-9)


@pytest.mark.slow
def test_in_a_matrix_of_several_tiles(x64):
    # Tiles of 4 x 3: every tile is a circuit of its own, unused cells are open, odd columns turn around per tile.
    config = AnalogConfig(
        device=IdealDevice(),
        wires=OpenIdle(r=2000.0, steps=7),
        drive=PWM(bits=4),
        adc=IdealADC(),
        rows=4,
        cols=3,
        column_scales=False,
    )
    w = jax.random.normal(jax.random.key(0), (7, 5))
    x = jax.random.normal(jax.random.key(1), (2, 7))
    programmed = tile.program(config, w, jax.random.key(2))
    prepared = tile.prepare(config, programmed)
    y = tile.mvm(config, prepared, x, jax.random.key(3))
    config_free = AnalogConfig(
        device=IdealDevice(), wires=NoWires(), drive=PWM(bits=4), adc=IdealADC(), rows=4, cols=3, column_scales=False
    )
    free = tile.mvm(config_free, tile.prepare(config_free, programmed), x, jax.random.key(3))
    assert float(jnp.max(jnp.abs(y - free))) > 0.01
    # The same by hand, tile by tile.
    pulses = config.drive.encode(x)
    level = jnp.pad(pulses.level, [(0, 0), (0, 0), (0, 1)])
    total = jnp.zeros((2, 6))
    for row, col in np.ndindex(2, 2):
        g = programmed.g[row, col, 0]
        circuit = config.wires.effective(g, (1.0, -1.0), Placement(rows=4, cols=3)).circuit
        current = circuit.charge(level[:, 0, 4 * row : 4 * row + 4], steps=7, timed=True, v_read=0.2)
        scaled = current / config.cell.g_span * programmed.w_scale[row, col]
        total = total.at[:, 3 * col : 3 * col + 3].add(scaled)
    np.testing.assert_allclose(y, total[:, :5] * pulses.x_scale[:, None], rtol=1e-9)
