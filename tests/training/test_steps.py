"""Taking networks apart for training."""

import jax
import jax.numpy as jnp
import tiny_task
from flax import nnx

from jaxaimc import AnalogConfig, adcs, nn
from jaxaimc.training.fit.steps import SplitNetwork


def test_s2_fields_of_a_config_are_trained_as_arrays():
    """Also those that were given as whole numbers, which JAX does not differentiate."""
    model = nn.convert(tiny_task.task().build(jax.random.key(0)), AnalogConfig(adc=adcs.Uniform(bits=8)))
    network, parameters, others = SplitNetwork.split(model, nn.DeviceParam)
    assert parameters["head.dot_general.config.adc.bits"] == 8.0
    assert all(isinstance(leaf, jax.Array) and leaf.dtype == jnp.float32 for leaf in parameters.values())
    merged = network.merge(jax.tree.map(lambda leaf: leaf + 1, parameters), others)
    assert merged.head.dot_general.config.get_value().adc.bits == 9.0
    assert isinstance(merged.head, nnx.Linear)
