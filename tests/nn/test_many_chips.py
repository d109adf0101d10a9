"""Many chips at once are those that `nn.program` and `nn.drift` make one by one."""

from dataclasses import replace

import jax
import numpy as np
import pytest
from compilations import compilations
from flax import nnx

from jaxaimc import adcs, nn, presets
from jaxaimc.calibration import GlobalCompensation
from jaxaimc.nn.many import effective_of_chips

KEYS = jax.random.split(jax.random.key(3), 2)
CONFIG = presets.tile_circuit()
MISMATCHED = replace(CONFIG, adc=adcs.Mismatch(adc=adcs.Uniform(), offset=2e-3, gain=0.01))


class Stacked(nnx.Module):
    def __init__(self, rngs):
        self.first = nnx.Linear(5, 6, rngs=rngs)
        self.blocks = nnx.vmap(lambda rngs: nnx.Linear(6, 6, rngs=rngs), axis_size=3)(rngs.split(3))


@pytest.mark.parametrize("config", [CONFIG, MISMATCHED], ids=["published", "mismatched converters"])
@pytest.mark.parametrize(("t", "compensated"), [(None, False), (1e6, True)])
def test_chips_are_those_made_one_by_one(config, t, compensated):
    analog = nn.convert(Stacked(nnx.Rngs(0)), config)
    found = effective_of_chips(analog, KEYS, t, compensated=compensated)
    for number, key in enumerate(KEYS):
        chip = nn.program(analog, key)
        if t is not None:
            chip = nn.drift(chip, t, GlobalCompensation() if compensated else None)
        expected = nn.effective(chip)
        assert list(found) == list(expected)
        for path, prepared in expected.items():
            own = jax.tree.map(lambda leaf, number=number: leaf[number], found[path])
            assert jax.tree.structure(own) == jax.tree.structure(prepared)
            for one, other in zip(jax.tree.leaves(own), jax.tree.leaves(prepared), strict=True):
                np.testing.assert_allclose(one, other, rtol=2e-6, atol=1e-7)


def test_layers_of_one_shape_and_configs_of_one_structure_share_programs():
    model = nnx.Sequential(*[nnx.Linear(6, 6, rngs=nnx.Rngs(seed)) for seed in range(3)])
    effective_of_chips(nn.convert(model, CONFIG), KEYS, 60.0, compensated=True)
    others = [replace(CONFIG, wires=replace(CONFIG.wires, r=3.0)), replace(CONFIG, adc=adcs.IdealADC())]
    with compilations() as found:
        for config in others:
            effective_of_chips(nn.convert(model, config), KEYS, 3600.0, compensated=True)
    assert not found
