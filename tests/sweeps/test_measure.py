"""Measures of a layer and of a network: their figures against the ordinary ways to them."""

import pickle
import warnings
from dataclasses import replace

import cloudpickle
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_task
from compilations import compilations

import jaxaimc
from jaxaimc import AnalogConfig, cost, devices, drives, wires
from jaxaimc._core.checks import ClippedInputWarning
from jaxaimc.design import exact
from jaxaimc.studies import Settings, Study
from jaxaimc.studies.scenarios import EFFECTS, Scenario
from jaxaimc.sweeps import DesignWarning, Function, LayerError, NetworkScore, evaluate_designs
from jaxaimc.sweeps.measure import fingerprint
from jaxaimc.tasks import Corpus

RNG = np.random.default_rng(0)
W, X = RNG.normal(size=(12, 6)).astype(np.float32), RNG.normal(size=(5, 12)).astype(np.float32)
BASE = AnalogConfig(wires=wires.Ladder(r=30.0))
KEYS = jax.random.key(1), jax.random.key(2)


@pytest.fixture(scope="module")
def task():
    return tiny_task.task()


@pytest.fixture(scope="module")
def model(task):
    return task.build(jax.random.key(3))


def everything(task, model, config, settings, **fields):
    """Return the scores of the row "everything" of `jaxaimc evaluate`."""
    scenario = Scenario(study="effect", name="everything", base=config, acting=EFFECTS, **fields)
    return [row["score"] for row in Study(task, model, [scenario], settings).run().scores]


def test_scores_are_those_of_evaluate(task, model):
    measure = NetworkScore.of(task, model, examples=61, batch=25)
    found = evaluate_designs(measure, BASE, {"wires.r": np.array([30.0, 3000.0])}, 3, seed=5)
    for design, r in enumerate((30.0, 3000.0)):
        config = replace(BASE, wires=wires.Ladder(r=r))
        expected = everything(task, model, config, Settings(examples=61, chips=3, seed=5, batch=61))
        np.testing.assert_array_equal(found["score"][design], expected)
    losses = exact.evaluate(task, model, BASE, task.split("test").first(61), chips=3, seed=5).losses
    np.testing.assert_allclose(found["loss"][0], losses, rtol=1e-5)
    assert not found["residual"].any()


def test_drifted_and_compensated_scores_are_those_of_evaluate(task, model):
    measure = NetworkScore.of(task, model, examples=40, t=1e7, compensated=True)
    found = evaluate_designs(measure, BASE, {}, 2, seed=0)
    assert found["score"][0].tolist() == everything(
        task, model, BASE, Settings(examples=40, chips=2), t=1e7, compensated=True
    )


def test_costs_are_those_of_the_ordinary_evaluation(task, model):
    hardware = cost.Hardware(columns_per_converter=4)
    measure = NetworkScore.of(task, model, examples=16, hardware=hardware)
    with pytest.warns(cost.AssumedCostWarning):
        found = evaluate_designs(measure, BASE, {}, 1, seed=7)
    wanted = exact.evaluate(task, model, BASE, task.split("test").first(12), chips=1, seed=7, hardware=hardware).cost
    # As many examples as `jaxaimc evaluate` takes, where `exact` takes twelve.
    np.testing.assert_allclose(found["energy"][0, 0], wanted.total.energy.total, rtol=0.05)
    for name, value in {"latency": wanted.total.latency, "area": wanted.total.area.total}.items():
        np.testing.assert_allclose(found[name][0, 0], value, rtol=1e-5)
    assert found["cost_outside"][0, 0] == np.sum(np.asarray(wanted.total.outside))


def test_a_score_of_all_examples_together_is_that_of_evaluate(task, model):
    largest = Corpus(lambda outputs, targets: float(outputs[np.arange(len(targets)), targets].max()))
    whole = replace(task, score=largest, metric="largest")
    found = evaluate_designs(NetworkScore.of(whole, model, examples=11, batch=4), BASE, {}, 2, seed=0)
    expected = everything(whole, model, BASE, Settings(examples=11, chips=2))
    np.testing.assert_allclose(found["score"][0], expected, rtol=1e-6)


def test_rows_activity_is_that_of_evaluate(task, model):
    config = AnalogConfig(wires=wires.OpenIdle(r=100.0, method=wires.MeanField()))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = evaluate_designs(NetworkScore.of(task, model, examples=30), config, {}, 2, seed=0)
    assert found["score"][0].tolist() == everything(task, model, config, Settings(examples=30, chips=2))


def test_measures_travel_and_compile_nothing_anew(task, model):
    measure = NetworkScore.of(task, model, examples=10)
    found = evaluate_designs(measure, BASE, {"wires.r": np.array([1.0, 2.0])}, 1, seed=0)
    copy = cloudpickle.loads(cloudpickle.dumps(measure))
    assert fingerprint(copy) == fingerprint(measure)
    assert not any(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(copy))
    with compilations() as compiled:
        again = evaluate_designs(copy, BASE, {"wires.r": np.array([1.0])}, 1, seed=0)
    assert not compiled
    for name, values in again.items():
        np.testing.assert_array_equal(values, found[name][:1])


def test_a_network_of_its_own_travels_by_name():
    measure = NetworkScore.of("jaxaimc_models.vit:fashion_mnist", examples=3)
    sent = pickle.dumps(measure)
    assert len(sent) < 1000
    copy = pickle.loads(sent)
    assert copy.facts() == measure.facts()


def test_facts_are_all_that_figures_follow_from(task, model):
    other = task.build(jax.random.key(4))
    measures = [
        NetworkScore.of(task, model),
        NetworkScore.of(task, other),
        NetworkScore.of(task, model, examples=9),
        NetworkScore.of(task, model, t=1.0),
        NetworkScore.of(task, model, t=1.0, compensated=True),
        NetworkScore.of(task, model, cost=True),
        NetworkScore.of(task, model, hardware=cost.Hardware(pipelined=True)),
        LayerError.of(W, X),
        LayerError.of(W, 2 * X),
        LayerError.of(W, X, t=1.0),
        LayerError.of(W, X, cost=True),
    ]
    assert len({fingerprint(measure) for measure in measures}) == len(measures)
    assert fingerprint(NetworkScore.of(task, model, batch=7)) == fingerprint(measures[0])


def test_the_error_and_the_cost_of_a_layer_are_those_of_the_verbs():
    w, x = jnp.asarray(W), jnp.asarray(X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = jax.jit(LayerError.of(W, X, t=1e6, cost=True))(BASE, *KEYS)
        programmed = jaxaimc.drift(BASE, jaxaimc.program(BASE, w, KEYS[0]), 1e6)
        wanted = cost.of_tile(BASE, programmed, x)
    y = jaxaimc.mvm(BASE, jaxaimc.prepare(BASE, programmed), x, KEYS[1])
    exact_products = X.astype(float) @ W.astype(float)
    off = np.asarray(y, float) - exact_products
    np.testing.assert_allclose(found["error"], np.sqrt(np.sum(off**2) / np.sum(exact_products**2)), rtol=1e-4)
    np.testing.assert_allclose(found["energy"], wanted.energy.total, rtol=1e-5)
    np.testing.assert_allclose(found["latency"], wanted.latency, rtol=1e-6)
    np.testing.assert_allclose(found["area"], wanted.area.total, rtol=1e-6)


def test_groups_of_a_layer_are_blocks_of_a_matrix():
    blocks = RNG.normal(size=(2, 6, 3)).astype(np.float32)
    ideal = AnalogConfig(device=devices.IdealDevice(), wires=wires.NoWires(), drive=drives.PWM(bits=12))
    found = LayerError.of(blocks, X).exact
    np.testing.assert_allclose(found, np.concatenate([X[:, :6] @ blocks[0], X[:, 6:] @ blocks[1]], axis=1), rtol=1e-4)
    assert jax.jit(LayerError.of(blocks, X))(ideal, *KEYS)["error"] < 0.05


def test_wires_that_miss_their_check_are_said():
    measure = LayerError.of(W, X)
    fine = {"error": np.ones((2, 2)), "residual": np.array([[0.0, 9e-4], [0.0, 0.0]])}
    assert not measure.notes(fine)
    for missed in (2e-3, np.nan):
        notes = measure.notes({**fine, "residual": np.array([[0.0, missed], [0.0, 0.0]])})
        assert any("miss their own check in 1 of 4" in note for note in notes)
    outside = measure.notes({**fine, "cost_outside": np.array([[0.0, 2.0], [1.0, 0.0]])})
    assert any("leave the range of their sources in 2 of 4" in note for note in outside)


def test_lost_inputs_are_said(task, model):
    config = replace(BASE, drive=drives.BitSerial(signs=drives.Unsigned()))
    with pytest.warns(ClippedInputWarning, match="LayerError"):
        evaluate_designs(LayerError.of(W, X), config, {}, 1, seed=0)
    with pytest.warns(ClippedInputWarning, match="Layer 'hidden'"):
        evaluate_designs(NetworkScore.of(task, model, examples=8), config, {}, 1, seed=0)


def test_outputs_that_are_not_finite_give_no_score(task, model):
    broken = replace(task, score=lambda outputs, targets: jnp.zeros(len(targets)))
    measure = NetworkScore.of(broken, model, examples=8)
    spoiled = replace(measure, inputs=np.full_like(measure.inputs, np.nan))
    with pytest.warns(DesignWarning, match="'score' is not finite in 1 of 1"):
        found = evaluate_designs(spoiled, BASE, {}, 1, seed=0)
    assert np.isnan(found["score"]).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: LayerError.of(W[:, :0], X), "no empty axis"),
        (lambda: LayerError.of(W, X[:, :5]), r"`x` must have shape \(..., n_in=12\)"),
        (lambda: LayerError.of(W, X * np.nan), "`x` must hold finite input vectors"),
        (lambda: LayerError.of(W, 0 * X), "products that are not all zero"),
        (lambda: LayerError.of(W, X, t=-1.0), "`t` must be a time"),
        (lambda: NetworkScore.of(tiny_task.task(), tiny_task.task().build(jax.random.key(0)), batch=0), "`batch`"),
        (lambda: NetworkScore.of("nonsense"), "package.module:factory"),
        (lambda: Function.of(3, {"a": ""}, {}), "`function` must be a function"),
        (lambda: Function.of(len, {}, {}), "`columns` must give a unit"),
        (lambda: Function.of(len, {"a": ""}, {"w": np.ones(2)}), "`facts` must hold JSON values"),
    ],
)
def test_bad_arguments_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda *arguments: 3.0, "must return the figures 'a', but returns 3.0"),
        (lambda *arguments: {"b": 1.0}, "must return the figures 'a', but returns 'b'"),
        (lambda *arguments: {"a": jnp.ones(2)}, r"'a' has shape \(2,\)"),
    ],
)
def test_bad_functions_are_refused(function, message):
    with pytest.raises(ValueError, match=message):
        evaluate_designs(Function.of(function, {"a": ""}, {}), BASE, {}, 1, seed=0)
