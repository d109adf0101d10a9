"""What looks at a network's activations sees it as it is evaluated, and leaves the model as it was."""

import chex
import jax
import jax.numpy as jnp
import pytest
from analog_networks import CHIP, READ
from flax import nnx

from jaxaimc import AnalogConfig, nn
from jaxaimc.adcs import Symmetric, Uniform
from jaxaimc.devices import IdealDevice
from jaxaimc.drives import PWM, FixedRange
from jaxaimc.training import limits
from jaxaimc.wires import MeanField, OpenIdle

CONFIG = AnalogConfig(
    device=IdealDevice(),
    adc=Uniform(range=Symmetric(limit=4.0)),
    drive=PWM(range=FixedRange(limit=4.0)),
    wires=OpenIdle(r=20.0, method=MeanField()),
    rows=16,
    cols=8,
)
INPUTS = 3 + jax.random.normal(jax.random.key(0), (64, 12))


def network():
    """Normalised by the batch and dropped, in training mode."""
    rngs = nnx.Rngs(0)
    layers = (
        nnx.Linear(12, 16, rngs=rngs),
        nnx.BatchNorm(16, momentum=0.5, rngs=rngs),
        nnx.Dropout(0.5, rngs=rngs),
        nnx.Linear(16, 4, rngs=rngs),
    )
    return nn.convert(nnx.Sequential(*layers), CONFIG)


LOOKS = {
    "calibrate": lambda model: nn.calibrate(model, INPUTS, READ, input_percentile=99.0),
    "with_activity": lambda model: nn.with_activity(model, INPUTS),
    "learn_input_ranges": lambda model: limits.learn_input_ranges(model, [INPUTS]),
    "calibrate_columns": lambda model: nn.calibrate_columns(nn.program(model, CHIP), [INPUTS], READ),
}


@pytest.mark.filterwarnings("ignore::jaxaimc.nn.activity.AssumedActivityWarning")
@pytest.mark.parametrize("look", LOOKS.values(), ids=LOOKS)
def test_training_mode_makes_no_difference_and_the_model_stays(look):
    training, evaluated = network(), network()
    evaluated.eval()
    before = jax.tree.map(jnp.copy, nnx.state(training, nnx.Any(nnx.BatchStat, nnx.RngState)))
    seen, wanted = look(training), look(evaluated)
    chex.assert_trees_all_equal(nnx.state(training, nnx.Any(nnx.BatchStat, nnx.RngState)), before)
    chex.assert_trees_all_equal(numbers(seen), numbers(wanted))
    assert not seen.layers[2].deterministic


def numbers(model):
    """Everything that a look may leave in a model: its state without random streams, ranges of configs included."""
    return nnx.state(model, nnx.Not(nnx.RngState))
