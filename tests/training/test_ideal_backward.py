from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxaimc import AnalogConfig, nn, presets
from jaxaimc.adcs import IdealADC
from jaxaimc.devices import IdealDevice
from jaxaimc.drives import PWM, BitSerial, FixedRange, LearnedRange
from jaxaimc.training.ideal_backward import with_ideal_backward
from jaxaimc.training.limits.ranges import learn_input_ranges
from jaxaimc.training.objectives import circuit
from jaxaimc.wires import Ladder, NoWires

KEY = jax.random.key(5)
STEP = jnp.zeros((), jnp.int32)


def layer():
    return nnx.Linear(12, 7, rngs=nnx.Rngs(0))


def vectors():
    return jax.random.normal(jax.random.key(1), (3, 5, 12))


def cotangent():
    return jax.random.normal(jax.random.key(2), (3, 5, 7))


def gradients(model, forward, x):
    """Return gradients of a projection of the outputs with respect to parameters, scales and inputs."""
    graph, trained, others = nnx.split(model, nnx.Any(nnx.Param, nn.DigitalParam), ...)

    def loss(trained, x):
        return jnp.vdot(forward(nnx.merge(graph, trained, others, copy=True), x, KEY, STEP), cotangent())

    return jax.grad(loss, argnums=(0, 1))(trained, x)


@pytest.mark.parametrize("drive", [PWM(range=FixedRange(limit=1.5)), BitSerial(bits=8, range=FixedRange(limit=1.5))])
def test_gradients_are_those_of_the_digital_product_of_the_driven_inputs(drive):
    config = replace(presets.tile_circuit(), drive=drive, wires=Ladder(r=300.0))
    model, x = layer(), vectors()
    by_parameter, by_input = gradients(nn.convert(model, config), circuit(ideal_backward=True), x)
    steps = 127.0
    driven = jnp.round(jnp.clip(x / 1.5, -1, 1) * steps) / steps * 1.5
    kernel = model.kernel[...]
    np.testing.assert_allclose(
        by_parameter["kernel"][...], jnp.einsum("bti,btj->ij", driven, cotangent()), rtol=1e-4, atol=1e-4
    )
    np.testing.assert_allclose(by_parameter["bias"][...], cotangent().sum((0, 1)), rtol=1e-5, atol=1e-5)
    expected = jnp.where(jnp.abs(x) <= 1.5, cotangent() @ kernel.T, 0)
    assert bool(jnp.any(expected == 0))
    np.testing.assert_allclose(by_input, expected, rtol=1e-4, atol=1e-5)


def test_values_are_those_of_the_circuit():
    model = nn.convert(layer(), presets.standard_aimc())
    ideal, exact = (circuit(ideal_backward=flag)(model, vectors(), KEY, STEP) for flag in (True, False))
    np.testing.assert_allclose(ideal, exact, rtol=1e-6, atol=1e-6)
    assert not np.allclose(ideal, layer()(vectors()), atol=1e-2)


def test_a_learned_range_has_the_gradient_that_it_has_on_an_ideal_tile():
    """Nothing but the drive acts there, so both ways back are the same."""
    config = AnalogConfig(
        device=IdealDevice(), wires=NoWires(), adc=IdealADC(), drive=PWM(range=LearnedRange(limit=1.0))
    )
    model = learn_input_ranges(nn.convert(layer(), config), [vectors()], deviations=1.0)
    ideal, exact = (gradients(model, circuit(ideal_backward=flag), vectors()) for flag in (True, False))
    assert len(jax.tree.leaves(ideal)) == 4  # kernel, bias, range, inputs
    for found, expected in zip(jax.tree.leaves(ideal), jax.tree.leaves(exact), strict=True):
        assert float(jnp.abs(expected).max()) > 0
        np.testing.assert_allclose(found, expected, rtol=2e-4, atol=2e-5)


def test_a_digital_model_is_refused():
    with pytest.raises(ValueError, match="must match an analog layer"):
        with_ideal_backward(layer())
