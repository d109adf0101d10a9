"""Cost of networks: sums over layers, gradients through a chip, columns of the summary."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxaimc import cost, nn, presets
from jaxaimc.config.paths import as_arrays, with_at

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")
CONFIG = presets.crosssim_sonos().with_(rows=16, cols=8)
X = jax.random.normal(jax.random.key(0), (3, 6, 6, 2))


class Network(nnx.Module):
    def __init__(self, rngs):
        self.conv = nnx.Conv(2, 4, (3, 3), padding="VALID", rngs=rngs)
        self.norm = nnx.BatchNorm(4, rngs=rngs)
        self.dense = nnx.Linear(64, 3, rngs=rngs)
        self.head = nnx.Linear(3, 2, rngs=rngs)

    def __call__(self, x):
        return self.head(self.dense(nnx.relu(self.norm(self.conv(x))).reshape(len(x), -1)))


@pytest.fixture(scope="module")
def chip():
    rules = [nn.Rule("conv|dense", CONFIG), nn.Rule("head", None)]
    return nn.convert(Network(nnx.Rngs(0)), rules, jax.random.key(1))


def test_a_network_costs_what_its_layers_do(chip):
    found = nn.cost(chip, X)
    known = nn.cost_inputs(chip, X)
    assert known.counts["conv"] == 16
    assert known.counts["dense"] == 1
    for layer, path in ((chip.conv.conv_general_dilated, "conv"), (chip.dense.dot_general, "dense")):
        alone = cost.of_tile(CONFIG, layer.programmed.get_value(), known.vectors[path], vectors=known.counts[path])
        np.testing.assert_allclose(found.layers[path].energy.total, alone.energy.total, rtol=1e-5)
        np.testing.assert_allclose(found.layers[path].latency, alone.latency, rtol=1e-5)
    total = found.total
    for name in ("latency", "macs", "conversions", "tiles"):
        np.testing.assert_allclose(
            getattr(total, name), sum(getattr(one, name) for one in found.layers.values()), rtol=1e-6
        )
    assert total.macs == 16 * 18 * 4 + 64 * 3
    assert found.digital_macs == 6
    # Batches of other sizes are the same inference; running statistics are left alone.
    assert chip.norm.mean.get_value().sum() == 0
    more = nn.cost(chip, jnp.concatenate([X, X]))
    np.testing.assert_allclose(more.total.energy.total, total.energy.total, rtol=0.05)
    assert more.total.latency == total.latency


def test_gradient_through_the_chip_against_finite_differences(x64):
    model = Network(nnx.Rngs(0))
    analog = nn.convert(model, [nn.Rule("conv|dense", CONFIG), nn.Rule("head", None)])
    known = nn.cost_inputs(analog, X)

    def energy(values):
        changes = {"drive.v_read": values[0], "adc.bits": values[1], "cell.g_max": values[2] * 1e-6}
        changed = nn.map_configs(analog, lambda path, config: with_at(as_arrays(config), changes))
        return nn.cost(nn.program(changed, jax.random.key(1)), known).total.energy.total * 1e10

    at, compiled = jnp.array([0.1, 6.3, 15.0]), jax.jit(energy)
    slopes = [(compiled(at.at[k].add(1e-5)) - compiled(at.at[k].add(-1e-5))) / 2e-5 for k in range(3)]
    np.testing.assert_allclose(jax.jit(jax.grad(energy))(at), slopes, rtol=1e-5)


def test_the_summary_shows_cost_where_there_is_hardware(chip):
    plain, costed = nn.summary(chip, X), nn.summary(chip, X, cost.Hardware())
    assert "energy" not in str(plain)
    assert str(costed).splitlines()[0].split()[-5:-2] == ["energy", "latency", "area"]
    rows = {row.path: row for row in costed.rows}
    found = nn.cost(chip, X).layers["dense"]
    assert rows["dense"].energy == pytest.approx(float(found.energy.total))
    assert rows["head"].energy is None


def test_bad_models_are_refused(chip):
    with pytest.raises(ValueError, match="has no analog layer"):
        nn.cost(nnx.Linear(2, 2, rngs=nnx.Rngs(0)), jnp.ones((1, 2)))
    with pytest.raises(ValueError, match="has no programmed chip"):
        nn.cost(nn.without_chip(chip), X)
    with pytest.raises(ValueError, match="has no devices any more"):
        nn.cost(nn.for_reading(chip), X)
    with pytest.raises(ValueError, match="Argument `inputs` must hold examples"):
        nn.summary(chip, hardware=cost.Hardware())
