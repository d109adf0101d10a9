"""What the verbs make of numbers of every kind: precisions, lists, complex numbers, empty batches."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compilations import compilations

from jaxaimc import AnalogConfig, analog_matmul, charges, mvm, prepare, program, wires
from jaxaimc.adcs import IdealADC
from jaxaimc.devices import IdealDevice
from jaxaimc.drives import PWM, FixedRange
from jaxaimc.wires import NoWires

KEY = jax.random.key(2)
IDEAL = AnalogConfig(
    device=IdealDevice(),
    wires=NoWires(),
    adc=IdealADC(),
    drive=PWM(bits=16, range=FixedRange(limit=1.0)),
    rows=8,
    cols=4,
)
W = np.linspace(-1, 1, 24).reshape(6, 4)


def test_bad_n3_double_precision_inputs_are_not_cut_to_the_weights_precision(x64):
    """A chip programmed in single precision answers double-precision inputs in double precision."""
    prepared = prepare(IDEAL, program(IDEAL, jnp.asarray(W, jnp.float32), KEY))
    x = np.linspace(-0.9, 1.0, 6)
    y = mvm(IDEAL, prepared, x)
    assert y.dtype == jnp.float64
    exact = (
        np.round(x * 32767) / 32767 @ (np.asarray(prepared.matrix[0, :, 0], float) * np.asarray(prepared.w_scale[0]))
    )
    np.testing.assert_allclose(y, exact, rtol=1e-12)
    assert charges(IDEAL, prepared, x).dtype == jnp.float64
    assert mvm(IDEAL, prepared, jnp.asarray(x, jnp.float32)).dtype == jnp.float32
    assert analog_matmul(IDEAL, jnp.asarray(W, jnp.float32), x, KEY).dtype == jnp.float64


@pytest.mark.parametrize("dtype", [jnp.int32, jnp.bfloat16, jnp.float16, jnp.bool_])
def test_bad_n3_narrow_inputs_are_computed_in_single_precision(dtype):
    prepared = prepare(IDEAL, program(IDEAL, W, KEY))
    y = mvm(IDEAL, prepared, jnp.ones(6, dtype))
    assert y.dtype == jnp.float32
    np.testing.assert_allclose(y, W.sum(0), atol=1e-6)


def test_bad_n3_lists_are_matrices_and_vectors():
    y = analog_matmul(IDEAL, W.tolist(), [1.0] * 6, KEY)
    np.testing.assert_allclose(y, W.sum(0), atol=1e-6)
    chex.assert_trees_all_close(program(IDEAL, W.tolist(), KEY).g, program(IDEAL, W, KEY).g)


@pytest.mark.parametrize(
    ("w", "message"),
    [
        ([[1.0, 2.0], [3.0]], "Argument `w` must hold real numbers, but is "),
        ("weights", "Argument `w` must hold real numbers, but is 'weights'"),
        (None, "Argument `w` must"),
        (W * 1j, "Argument `w` must hold real numbers, but has dtype complex"),
    ],
)
def test_bad_n3_what_is_no_matrix_is_named(w, message):
    with pytest.raises(ValueError, match=message):
        program(IDEAL, w, KEY)


def test_bad_n3_complex_inputs_are_refused_traced_or_not():
    prepared = prepare(IDEAL, program(IDEAL, W, KEY))
    x = np.ones(6) * 1j
    for call in (
        lambda x: mvm(IDEAL, prepared, x),
        jax.jit(lambda x: mvm(IDEAL, prepared, x)),
        lambda x: charges(IDEAL, prepared, x),
        lambda x: analog_matmul(IDEAL, W, x, KEY),
    ):
        with pytest.raises(ValueError, match="Argument `x` must hold real numbers, but has dtype complex64"):
            call(x)


@pytest.mark.parametrize(
    "chosen",
    [NoWires(), wires.Ladder(), wires.Mesh(), wires.AlphaBeta(), wires.StaticFactor(), wires.OpenIdle(steps=7)],
    ids=lambda w: type(w).__name__,
)
def test_bad_n2_an_empty_batch_gives_an_empty_result(chosen):
    config = AnalogConfig(wires=chosen, rows=8, cols=4)
    prepared = prepare(config, program(config, W, KEY))
    for shape in ((0, 6), (2, 0, 6)):
        assert mvm(config, prepared, jnp.zeros(shape), KEY).shape == (*shape[:-1], 4)


def test_bad_n6_eager_calls_compile_once():
    """Called again with other numbers, no verb compiles anything."""
    config = AnalogConfig(rows=8, cols=4, wires=wires.Mesh(r_row=2.0))

    def everything(seed):
        key = jax.random.key(seed)
        w = np.random.default_rng(seed).normal(size=(10, 5)).astype(np.float32)
        prepared = prepare(config, program(config, w, key))
        return mvm(config, prepared, w.T, key), analog_matmul(config, w, w.T, key, t=float(seed))

    everything(1)
    with compilations() as compiled:
        everything(2)
    assert compiled == []
