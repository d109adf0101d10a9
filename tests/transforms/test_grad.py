"""Gradients of `analog_matmul` against central differences in double precision, leaf by leaf.

The rule for what is rounded is straight-through: the rounding error is a constant. So the differences are taken of the
same library with every rounding replaced by `z + e`, `e` being the error at the point of the gradient. Everything else,
programming noise, drift, wires, read noise, clipping and saturation, is differentiated as it is.
"""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from frozen_roundings import frozen_roundings
from jax.flatten_util import ravel_pytree

from jaxaimc import AnalogConfig, analog_matmul
from jaxaimc.adcs import CCO, BothEnds, Floor, IdealADC, Span, Symmetric, Truncate, Uniform
from jaxaimc.cells import Differential
from jaxaimc.devices import PCM, Device, IdealDevice, PCMDrift, PCMFlickerNoise, PCMProgrammingNoise, PCMPulseNoise
from jaxaimc.drives import PWM, FixedRange, PerVector, SplitPWM
from jaxaimc.wires import Ladder, NoWires

KEY = jax.random.key(11)
ROWS, COLS = 7, 3
RNG = np.random.default_rng(2)
W = RNG.normal(size=(ROWS, COLS))
X = RNG.normal(size=(2, ROWS))
WEIGHT = RNG.normal(size=(2, COLS))


def gradients(config, w, x, t=None, scales=None):
    """Reverse mode, forward mode and differences of a weighted sum of outputs, each times the size of its variable.

    Returns three flat vectors over all finite leaves of the config, all weights and all inputs. A variable that is zero
    takes its size from `scales`, else one.
    """
    leaves, structure = jax.tree.flatten(config)
    moving = [i for i, leaf in enumerate(leaves) if np.isfinite(leaf)]

    def loss(variables):
        values, w, x = variables
        full = list(leaves)
        for i, value in zip(moving, values, strict=True):
            full[i] = value
        y = analog_matmul(jax.tree.unflatten(structure, full), w, x, KEY, t)
        return jnp.sum(y * WEIGHT[: y.shape[0]])

    variables = ([jnp.asarray(leaves[i], float) for i in moving], jnp.asarray(w), jnp.asarray(x))
    sizes = [abs(leaves[i]) or (scales or {}).get(_name(config, i), 1.0) for i in moving]
    size = ravel_pytree((sizes, jnp.full(w.shape, np.abs(w).max() or 1.0), jnp.full(x.shape, np.abs(x).max() or 1.0)))[
        0
    ]
    point, unflatten = ravel_pytree(variables)
    moved = lambda z: loss(unflatten(point + z * size))  # noqa: E731
    origin = jnp.zeros_like(point)

    @jax.jit
    def all_three():
        known = []
        with frozen_roundings(known):
            moved(origin)

        def at(z):
            with frozen_roundings(known):
                return moved(z)

        h, steps = 1e-6, jnp.eye(len(point))
        up, down = jnp.split(jax.lax.map(at, h * jnp.concatenate([steps, -steps])), 2)
        return jax.grad(moved)(origin), jax.jacfwd(moved)(origin), (up - down) / (2 * h)

    return tuple(np.asarray(g) for g in all_three())


def _name(config, index):
    path = jax.tree.flatten_with_path(config)[0][index][0]
    return path[-1].name


def assert_gradients(config, w, x, t=None, scales=None, tolerance=2e-7):
    reverse, forward, expected = gradients(config, w, x, t, scales)
    largest = np.max(np.abs(expected))
    assert np.all(np.isfinite(reverse))
    np.testing.assert_allclose(forward, reverse, rtol=1e-9, atol=1e-11 * largest)
    np.testing.assert_allclose(reverse, expected, rtol=2e-6, atol=tolerance * largest)
    return reverse


FIXED = FixedRange(limit=1.7)  # some inputs are beyond it
BASE = AnalogConfig(
    cell=Differential(g_min=0.4e-6, g_max=24e-6),
    device=IdealDevice(),
    wires=Ladder(r=60.0, r_out=20.0),
    drive=PWM(t_lsb=1.3e-9, range=FIXED),
    adc=IdealADC(),
    rows=11,
    cols=COLS,
)
FLICKER = Device(programming=PCMProgrammingNoise(), drift=PCMDrift(), read_noise=PCMFlickerNoise())
CASES = {
    "ladder": (BASE, None),
    "counter at its limit": (replace(BASE, adc=CCO(max_count=100.0)), None),
    "everything, split": (
        replace(BASE, device=PCM(), adc=CCO(), drive=SplitPWM(t_lsb=1.3e-9, range=FIXED)),
        1e4,
    ),
    "everything, flicker": (
        replace(BASE, device=FLICKER, adc=Uniform(bits=5.3, range=Symmetric(limit=1.9)), column_scales=False),
        3.0,
    ),
    "pulse noise without wires": (replace(BASE, wires=NoWires(), device=Device(read_noise=PCMPulseNoise())), None),
    "truncating span": (
        replace(BASE, adc=Uniform(bits=4, range=Span(low=-1.5, high=2.0), rounding=Truncate(), codes=BothEnds())),
        None,
    ),
    "floor": (replace(BASE, adc=Uniform(bits=6, rounding=Floor())), None),
}


# Each compiles for seconds in double precision; the two that are not slow have all parts between them.
@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=() if case in ("everything, split", "truncating span") else pytest.mark.slow)
        for case in CASES
    ],
)
def test_every_leaf_weight_and_input(x64, case):
    config, t = CASES[case]
    gradient = assert_gradients(config, W, X, t)
    assert np.all(np.abs(gradient[-X.size :]).sum() > 0)


def test_leaves_of_every_part_have_a_slope(x64):
    """Cell, wires, drive, converter and device; the limit of a converter that saturates."""
    config = replace(BASE, device=PCM(), adc=CCO(), drive=SplitPWM(t_lsb=1.3e-9, range=FIXED))
    slope = jax.jit(jax.grad(lambda c: jnp.sum(analog_matmul(c, jnp.asarray(W), jnp.asarray(X), KEY) * WEIGHT)))(config)
    for leaf in (
        slope.cell.g_max,
        slope.cell.g_min,
        slope.wires.r,
        slope.wires.r_out,
        slope.wires.v_adc,
        slope.drive.v_read,
        slope.drive.t_lsb,
        slope.drive.range.limit,
        slope.adc.f_adc,
        slope.adc.i_ref,
        slope.device.programming.factor,
        slope.device.read_noise.factor,
    ):
        assert leaf != 0
        assert np.isfinite(leaf)
    assert jax.jit(jax.grad(_saturated))(1.9) != 0


def _saturated(limit):
    config = replace(BASE, adc=Uniform(bits=6, range=Symmetric(limit=limit)))
    return jnp.sum(analog_matmul(config, jnp.asarray(W), jnp.asarray(X), KEY) * WEIGHT)


# Sizes of the variables that are zero in some case.
ZERO = {"r": 10.0, "r_out": 10.0, "g_min": 1e-6, "adc_segments": 1.0}


@pytest.mark.parametrize(
    "change",
    [
        {"wires": Ladder(r=0.0)},
        {"wires": Ladder(r=0.0, r_out=0.0, adc_segments=0.0)},
        {"wires": Ladder(r=60.0, r_out=20.0), "cell": Differential(g_min=0.0)},
        {"wires": Ladder(r=0.0), "cell": Differential(g_min=0.0)},
    ],
)
def test_at_no_resistance_and_open_devices(x64, change):
    """The formulas continue through r = 0, so the differences may step to both sides of it."""
    assert_gradients(replace(BASE, **change), W, X, scales=ZERO)


def test_at_zero_weights(x64):
    """Single zeros, a zero row and open cells: each device has a kink there, of which central differences take half."""
    w = W.copy()
    w[2, 1] = 0.0
    w[4] = 0.0
    config = replace(BASE, cell=Differential(g_min=0.0), device=Device(read_noise=PCMPulseNoise()))
    assert_gradients(config, w, X, scales=ZERO, tolerance=2e-6)


@pytest.mark.parametrize("device", [PCM(), FLICKER, IdealDevice()])
@pytest.mark.parametrize("w", [np.zeros_like(W), W])
@pytest.mark.parametrize("x", [np.zeros_like(X), X])
@pytest.mark.parametrize("r", [0.0, 0.15])
def test_nothing_is_nan(device, w, x, r):
    """Single precision, at the corners: no weights, no inputs, no resistance, no time."""
    config = AnalogConfig(device=device, wires=Ladder(r=r), rows=16, cols=COLS)
    slopes = _slopes(config, jnp.asarray(w, jnp.float32), jnp.asarray(x, jnp.float32), jnp.float32(0.0))
    for leaf in jax.tree.leaves(slopes):
        assert np.all(np.isfinite(leaf))


@jax.jit
def _slopes(config, w, x, t):
    loss = lambda *args: jnp.sum(analog_matmul(args[0], args[1], args[2], KEY, args[3]))  # noqa: E731
    return jax.grad(loss, (0, 1, 2, 3))(config, w, x, t)


def test_scale_per_vector_is_a_constant(x64):
    """Its rule: the gradient is that of a fixed range of the same size, the peak's own entry included."""
    per_vector = replace(BASE, drive=PWM(range=PerVector()), device=Device(read_noise=PCMPulseNoise()), adc=CCO())
    fixed = replace(per_vector, drive=PWM(range=FixedRange(limit=float(np.max(np.abs(X[0]))))))
    by_vector, by_fixed = (
        jax.jit(jax.grad(lambda x, c=c: jnp.sum(analog_matmul(c, jnp.asarray(W), x, KEY))))(jnp.asarray(X[0]))
        for c in (per_vector, fixed)
    )
    np.testing.assert_allclose(by_vector, by_fixed, rtol=1e-10)


def test_time(x64):
    loss = jax.jit(
        lambda t: jnp.sum(analog_matmul(replace(BASE, device=FLICKER), jnp.asarray(W), jnp.asarray(X), KEY, t))
    )
    for t in (10.0, 1e5):
        expected = (loss(t * (1 + 1e-6)) - loss(t * (1 - 1e-6))) / (2e-6 * t)
        assert jax.grad(loss)(t) == pytest.approx(float(expected), rel=1e-6)
