"""Many designs in one compiled call: what they give, what they compile, and what they do not depend on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compilations import compilations

import jaxaimc
from jaxaimc import AnalogConfig, adcs, presets
from jaxaimc._core import groups
from jaxaimc.config import with_at
from jaxaimc.sweeps import DesignWarning, Function, LayerError, compiled, evaluate_designs
from jaxaimc.tasks.chips import chip_keys

RNG = np.random.default_rng(0)
W, X = RNG.normal(size=(12, 6)).astype(np.float32), RNG.normal(size=(5, 12)).astype(np.float32)
LAYER = LayerError.of(W, X)
BASE = AnalogConfig(adc=adcs.Uniform(bits=8.0))
VALUES = {
    "wires.r": RNG.uniform(1, 100, 11),
    "cell.g_max": RNG.uniform(5e-6, 25e-6, 11),
    "adc.bits": RNG.uniform(4, 9, 11),
}


def test_figures_are_those_of_the_public_verbs():
    found = evaluate_designs(LAYER, BASE, VALUES, range(3, 5), seed=2**31 + 5)
    chips, reads = chip_keys(2**31 + 5, range(3, 5))
    exact = X.astype(float) @ W.astype(float)
    for design in (0, 7):
        config = with_at(BASE, {path: float(values[design]) for path, values in VALUES.items()})
        for chip in range(2):
            prepared = jaxaimc.prepare(config, jaxaimc.program(config, jnp.asarray(W), chips[chip]))
            off = np.asarray(jaxaimc.mvm(config, prepared, jnp.asarray(X), reads[chip]), float) - exact
            error = np.sqrt(np.mean(off**2) / np.mean(exact**2))
            np.testing.assert_allclose(found["error"][design, chip], error, rtol=1e-4)
    assert found["error"].shape == (11, 2)
    assert len(np.unique(found["error"])) == 22


def test_a_structure_is_compiled_once():
    part = {path: values[:4] for path, values in VALUES.items()}
    evaluate_designs(LAYER, BASE, VALUES, 2, seed=0)
    copy = LayerError.of(W, X)
    with compilations() as found:
        evaluate_designs(copy, with_at(BASE, {"drive.v_read": 0.1}), part, 5, seed=1)
    assert not found
    with compilations() as found:
        evaluate_designs(LAYER, with_at(BASE, {"rows": 8}), VALUES, 2, seed=0)
    assert len(found) == 1


def same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name])


def test_a_design_does_not_depend_on_those_beside_it(monkeypatch):
    found = evaluate_designs(LAYER, BASE, VALUES, 3, seed=0)
    order = np.array([6, 2, 9, 2])
    some = evaluate_designs(LAYER, BASE, {path: values[order] for path, values in VALUES.items()}, range(1, 3), seed=0)
    same(some, {name: values[order, 1:] for name, values in found.items()})
    # Calls of a few evaluations, which end in the middle of a chip's.
    monkeypatch.setattr(compiled, "_AT_ONCE", 8)
    compiled._call.clear_cache()
    same(evaluate_designs(LAYER, BASE, VALUES, 3, seed=0), found)
    monkeypatch.undo()
    compiled._call.clear_cache()


def test_groups_differ_by_rounding_alone(monkeypatch):
    base = BASE.with_(adc=adcs.IdealADC())
    values = {path: VALUES[path] for path in ("wires.r", "cell.g_max")}
    found = evaluate_designs(LAYER, base, values, 2, seed=0)["error"]
    monkeypatch.setattr(groups, "group_size", lambda *arguments: 1)
    compiled._call.clear_cache()
    np.testing.assert_allclose(evaluate_designs(LAYER, base, values, 2, seed=0)["error"], found, rtol=1e-4)
    compiled._call.clear_cache()


def test_without_swept_leaves_the_base_is_the_only_design():
    found = evaluate_designs(LAYER, BASE, {}, 4, seed=0)
    swept = evaluate_designs(LAYER, BASE, {"wires.r": [BASE.wires.r]}, 4, seed=0)
    assert found["error"].shape == (1, 4)
    np.testing.assert_allclose(found["error"], swept["error"], rtol=1e-3)


_ON_DEVICES = """
import json, sys
import jax, numpy as np
sys.path.insert(0, {here!r})
import test_compiled as case
assert len(jax.devices()) == 8
given = case.LAYER, case.BASE, case.VALUES, 3, 0
tables = [case.evaluate_designs(*given, devices=jax.devices()[:n]) for n in (1, 8)]
print(json.dumps([{{name: values.tobytes().hex() for name, values in table.items()}} for table in tables]))
"""


def test_one_device_and_eight_give_the_same_table():
    code = _ON_DEVICES.format(here=str(Path(__file__).parent))
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count=8"
    root = Path(__file__).parents[2]
    path = os.pathsep.join(map(str, (root, root / "tests")))
    environment = {**os.environ, "XLA_FLAGS": flags, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    one, eight = json.loads(done.stdout.splitlines()[-1])
    assert one == eight
    here = evaluate_designs(LAYER, BASE, VALUES, 3, seed=0)
    assert one == {name: values.tobytes().hex() for name, values in here.items()}


def test_bad_designs_are_marked_and_said():
    measure = Function.of(lambda config, *keys: {"log": jnp.log(config.wires.r)}, {"log": ""}, {"version": 1})
    with pytest.warns(DesignWarning, match="'log' is not finite in 2 of 6 evaluations, first in row 1"):
        found = evaluate_designs(measure, BASE, {"wires.r": [1.0, 0.0, 10.0]}, 2, seed=0)
    np.testing.assert_allclose(found["log"], [[0, 0], [-np.inf, -np.inf], [np.log(10)] * 2], rtol=1e-6)


def test_functions_with_equal_facts_are_told_apart():
    for factor in (1.0, 2.0):
        measure = Function.of(lambda config, *keys, f=factor: {"r": f * config.wires.r}, {"r": "ohm"}, {})
        assert evaluate_designs(measure, BASE, {"wires.r": [3.0]}, 1, seed=0)["r"] == 3 * factor


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"wires.r": [1.0, -2.0]}, r"`wires.r` of a design must be in \[0, 1e\+09\] ohm, but is -2 ohm"),
        ({"wires.r": [1.0, np.nan]}, "`wires.r` of a design must be in .*, but is nan"),
        ({"wires.q": [1.0]}, "no field at the path 'wires.q'"),
        ({"rows": [8.0]}, "continuous fields with one number, but 'rows' is 512"),
        ({"wires": [8.0]}, "'wires' is a Ladder"),
        ({"wires.r": [1.0, 2.0], "cell.g_max": [2e-5]}, "2 at 'wires.r', 1 at 'cell.g_max'"),
        ({"wires.r": [[1.0]]}, "one number for each design at 'wires.r'"),
        ({"cell.g_max": [2e-5, 2.6e-5], "wires.r": [1.0, 1.0]}, "must stay within the window of `device`"),
    ],
)
def test_bad_values_are_refused_before_anything_is_computed(values, message):
    with compilations() as found, pytest.raises(ValueError, match=message):
        evaluate_designs(LAYER, BASE, values, 1, seed=0)
    assert not found


def test_bad_rules_between_swept_fields_are_found_in_any_design():
    values = {"cell.g_min": np.full(40, 1e-6), "cell.g_max": np.full(40, 2e-5)}
    values["cell.g_min"][17], values["cell.g_max"][17] = 1.5e-5, 1.4e-5
    with pytest.raises(ValueError, match="`g_min` of Differential must be less than `g_max`"):
        evaluate_designs(LAYER, BASE, values, 1, seed=0)
    # The same numbers in pairs that are allowed.
    values["cell.g_max"][17] = 1.6e-5
    values["cell.g_max"][18] = 1.4e-5
    assert evaluate_designs(LAYER, BASE, values, 1, seed=0)["error"].shape == (40, 1)


@pytest.mark.parametrize(("chips", "seed"), [(0, 0), (range(0), 0), (range(0, 4, 2), 0), (range(-1, 2), 0), (1, -1)])
def test_bad_chips_and_seeds_are_refused(chips, seed):
    with pytest.raises(ValueError, match=r"chips|seed"):
        evaluate_designs(LAYER, BASE, {}, chips, seed)


def test_presets_can_be_swept_by_any_leaf():
    base = presets.isaac()
    found = evaluate_designs(LAYER, base, {"wires.r": [0.0, 50.0]} if hasattr(base.wires, "r") else {}, 1, seed=0)
    assert np.isfinite(found["error"]).all()


def test_keys_are_those_of_the_chips():
    measure = Function.of(
        lambda config, chip, read: {"chip": jax.random.uniform(chip), "read": jax.random.uniform(read)},
        {"chip": "", "read": ""},
        {},
    )
    found = evaluate_designs(measure, BASE, {"wires.r": [1.0, 2.0]}, range(2, 6), seed=2**32 - 1)
    for name, keys in zip(("chip", "read"), chip_keys(2**32 - 1, range(2, 6)), strict=True):
        np.testing.assert_array_equal(found[name], np.tile(jax.vmap(jax.random.uniform)(keys), (2, 1)))
