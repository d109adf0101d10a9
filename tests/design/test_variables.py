"""Variables of a design: their maps, where they lead, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxaimc import AnalogConfig, adcs, design, presets
from jaxaimc.config import at
from jaxaimc.design.bijections import between
from jaxaimc.design.space import Space

CONFIG = AnalogConfig(adc=adcs.Mismatch(adc=adcs.Uniform(bits=8.0), gain=0.01))


@pytest.mark.parametrize(
    ("low", "high", "start"),
    [(1.0, 3.0, 1.5), (1e-9, 1e9, 0.15), (-2.0, None, 5.0), (None, 4.0, 3.0), (None, None, -3.0), (None, None, 0.0)],
)
def test_maps_onto_the_interval_and_back(low, high, start):
    with jax.enable_x64(True):
        one = between(low, high, start)
        u = jnp.linspace(-20.0, 20.0, 41)
        values = jax.vmap(one.value)(u)
        assert jnp.all(jnp.diff(values) * (1 if values[-1] > start else -1) > 0)
        assert low is None or jnp.all(values > low)
        assert high is None or jnp.all(values < high)
        near = u[16:25]
        np.testing.assert_allclose(jax.vmap(one.number)(jax.vmap(one.value)(near)), near, atol=1e-6)
    assert float(one.value(jnp.zeros(()))) == pytest.approx(start, rel=1e-7)
    if low is not None and high is not None:
        # The sigmoid, shifted so that zero is the start.
        shift = np.log(start - low) - np.log(high - start)
        expected = low + (high - low) / (1 + np.exp(-(2.0 + shift)))
        assert float(one.value(jnp.asarray(2.0))) == pytest.approx(expected, rel=1e-6)
    for bound in (low, high):
        if bound is not None:  # moved inside, from where the map goes on
            back = float(one.value(one.number(jnp.asarray(bound, jnp.float32))))
            assert back != start
            assert jnp.isfinite(one.number(jnp.asarray(bound)))


def test_wrappers_are_reached_through_and_bits_are_integers():
    space = Space.of(CONFIG, ["adc.bits", design.Variable("adc.gain", high=0.5), "wires.r"])
    bits, gain, r = space.variables
    assert (bits.unit, bits.integer, bits.targets) == ("bit", True, ((None, "adc.adc.bits"),))
    assert (bits.low, bits.high, gain.integer, gain.high) == (1.0, 24.0, False, 0.5)
    assert r.low == 1e-9  # what is smaller is no resistance, but zero
    changed = space.configs({"adc.bits": 5.0, "adc.gain": 0.02, "wires.r": 3.0})
    assert (changed.adc.adc.bits, changed.adc.gain, changed.wires.r) == (5.0, 0.02, 3.0)


def test_one_value_for_all_layers_or_one_for_each():
    configs = {"head": presets.tile_circuit(), "norm": None, ".*": presets.tile_circuit()}
    each = Space.of(configs, [design.Variable("wires.r", layer="head", high=9.0), "drive.v_read"])
    changed = each.configs({"head:wires.r": 4.0, "drive.v_read": 0.1})
    assert list(changed) == ["head", "norm", ".*"]
    assert [at(changed[rule], "wires.r") for rule in ("head", ".*")] == [4.0, 0.15]
    assert [at(changed[rule], "drive.v_read") for rule in ("head", ".*")] == [0.1, 0.1]
    assert changed["norm"] is None
    differing = {**configs, "head": presets.tile_circuit().with_(wires=configs[".*"].wires.with_(r=1.0))}
    assert Space.of(differing, [design.Variable("wires.r", start=2.0)]).variables[0].start == 2.0


V = design.Variable
TWO = {
    "head": presets.tile_circuit(),
    ".*": presets.tile_circuit().with_(wires=presets.tile_circuit().wires.with_(r=1.0)),
}


@pytest.mark.parametrize(
    ("config", "make", "message"),
    [
        (CONFIG, lambda: ["wires.rr"], r"no field at the path 'wires.rr' \(did you mean 'wires.r'\?\)"),
        (CONFIG, lambda: ["rows"], "Variable 'rows' must be a continuous field, but is structure"),
        (CONFIG, lambda: ["adc"], "Variable 'adc' must be a continuous field, but is a part"),
        (CONFIG, lambda: ["device.programming.std.coefficients"], "or with an array of positive ones, but has"),
        (CONFIG, lambda: ["cell.g_min"], r"must start inside of \(1e-15, inf\) S, not at a bound, but starts at 0"),
        (CONFIG, lambda: [V("wires.r", low=0.15)], r"must start inside of \(0.15, 1e\+09\) ohm, not at a bound"),
        (CONFIG, lambda: [V("wires.r", low=-1.0)], "Field `low` of Variable 'wires.r' must be within what the field"),
        (CONFIG, lambda: [V("adc.bits", high=30.0)], "must be within what the field allows, 1 to 24 bit, but is 30"),
        (CONFIG, lambda: [V("wires.r", start=float("nan"))], "Field `start` of Variable 'wires.r' must be a finite"),
        (CONFIG, lambda: [V("wires.r", low="a")], "Field `low` of Variable 'wires.r' must be a finite number"),
        (CONFIG, lambda: [V("wires.r", low=3.0, high=3.0)], "`low` of Variable 'wires.r' must be less than `high`"),
        (CONFIG, lambda: [V("wires.r", layer="head")], "must be None where there is one config for all layers"),
        (CONFIG, lambda: ["adc.bits", "adc.adc.bits"], "'adc.bits' and 'adc.adc.bits' are the same field"),
        (CONFIG, list, "Argument `variables` must be a list of Variable or paths, at least one"),
        (CONFIG, lambda: "wires.r", "Argument `variables` must be a list"),
        (TWO, lambda: ["wires.r"], "needs a `start`, or a `layer`: the configs have 0.15 in 'head', 1 in '.*'"),
        (TWO, lambda: [V("wires.r", layer="haed")], r"must be one of the rules .* 'haed' \(did you mean 'head'\?\)"),
        ({"head": None}, lambda: ["wires.r"], "must have a config for at least one rule"),
    ],
)  # fmt: skip
def test_bad_variables_are_refused(config, make, message):
    with pytest.raises(ValueError, match=message):
        Space.of(config, make())
