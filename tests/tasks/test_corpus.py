"""Scores of a whole split, in the one scorer, in studies, and against SciPy; networks that are built trained."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
import tiny_task
from flax import nnx

from jaxaimc import AnalogConfig
from jaxaimc.studies import Settings, Study
from jaxaimc.studies.facts import describe
from jaxaimc.studies.scenarios import Scenario
from jaxaimc.studies.store import ResultsFolder
from jaxaimc.tasks import Corpus, Task, check_contract, load_model, spearman
from jaxaimc.tasks.score import mean_score
from jaxaimc.wires import NoWires

TASK = tiny_task.task()
TEST = TASK.split("test")
MODEL = TASK.build(jax.random.key(0))


def changed(**fields) -> Task:
    return dataclasses.replace(TASK, **fields)


def hits(outputs, targets):
    """The accuracy as a score of the whole split: the same number by another way."""
    assert isinstance(outputs, np.ndarray)
    return (outputs.argmax(axis=1) == targets).mean()


def middle(outputs, targets):
    """A score that is no mean over examples."""
    return np.median(np.abs(outputs - np.eye(3)[targets]))


@pytest.mark.parametrize("ties", [1, 7, 1000])
def test_spearman_is_scipys(ties):
    rng = np.random.default_rng(ties)
    targets = rng.integers(0, ties + 1, 300)
    outputs = (targets + rng.normal(size=300)).round(1).astype(np.float32)
    np.testing.assert_allclose(spearman(outputs, targets), scipy.stats.spearmanr(outputs, targets)[0], rtol=1e-12)
    np.testing.assert_allclose(spearman(-outputs, targets), -spearman(outputs, targets), rtol=1e-12)


def test_outputs_that_are_all_equal_rank_nothing():
    assert spearman(np.full(4, 0.5), np.arange(4)) == 0.0


@pytest.mark.parametrize("batch", [7, 50, 500])
def test_the_scorer_gathers_the_outputs_of_any_batches(batch):
    model = load_model(changed(pretrained=True))
    outputs = np.asarray(model(jnp.array(TEST.inputs)))
    found = mean_score(changed(score=Corpus(middle)), model, TEST, batch=batch)
    np.testing.assert_allclose(found, middle(outputs, TEST.targets), rtol=1e-5)


SETTINGS = Settings(examples=60, chips=2, batch=25, layer_examples=20)
SCENARIOS = (
    Scenario(study="effect", name="digital", random=False),
    Scenario(study="effect", name="everything", base=AnalogConfig(rows=16, cols=16, wires=NoWires()), layers=True),
)


def study(task):
    return Study(task, MODEL, SCENARIOS, SETTINGS)


@pytest.fixture(scope="module")
def by_example():
    return study(TASK).run()


def test_a_mean_by_the_corpus_is_the_mean_over_examples(by_example):
    done = []
    whole = study(changed(score=Corpus(hits))).run(
        progress=lambda progress: done.append((progress.done, progress.total))
    )
    assert [row["name"] for row in whole.scores] == ["digital", "everything", "everything"]
    for found, expected in zip(whole.scores, by_example.scores, strict=True):
        assert found | {"score": 0} == expected | {"score": 0}
        np.testing.assert_allclose(found["score"], expected["score"], rtol=1e-12)
    assert whole.layers == by_example.layers
    assert done[-1] == (180, 180)


def test_a_study_of_a_corpus_is_resumed(tmp_path, by_example):
    task = changed(score=Corpus(middle))
    folder = ResultsFolder(tmp_path / "results", {"a": 1})
    whole = study(task).run(folder)
    assert whole.scores[1]["score"] != whole.scores[2]["score"]  # chips differ
    for chunk in list((tmp_path / "results" / "chunks").iterdir())[:1]:
        chunk.unlink()
    again = study(task).run(ResultsFolder(tmp_path / "results", {"a": 1}))
    assert again.scores == whole.scores
    assert again.layers == whole.layers


def test_a_network_that_is_built_trained_needs_no_checkpoint():
    with pytest.raises(FileNotFoundError, match="comes without trained weights"):
        load_model(TASK)
    task = changed(pretrained=True)
    model = load_model(task)
    assert model.dropout.deterministic
    facts = [
        describe(task, AnalogConfig(), SETTINGS, task_path="a:b", checkpoint=None, model=one)["checkpoint"]
        for one in (model, load_model(task), TASK.build(jax.random.key(1)))
    ]
    assert facts[0] == facts[1] != facts[2]
    assert facts[0] is not None


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda outputs, targets: outputs, r"one real number, but returns shape \(101, 3\)"),
        (lambda outputs, targets: 1j, "one real number, but returns shape .* complex128"),
        (lambda outputs, targets: "good", "one real number"),
    ],
)
def test_bad_corpora_are_refused_when_they_return(function, message):
    with pytest.raises(ValueError, match=f"Field `function` of Corpus must return {message}"):
        mean_score(changed(score=Corpus(function)), MODEL, TEST)


def test_bad_scores_of_a_split_are_no_numbers():
    with pytest.raises(FloatingPointError, match="The score of all 101 outputs together is nan"):
        mean_score(changed(score=Corpus(lambda outputs, targets: np.nan)), MODEL, TEST)
    inputs = TEST.inputs.copy()
    inputs[90] = 3e38
    with pytest.raises(FloatingPointError, match="outputs for example 90 are not finite"):
        mean_score(changed(score=Corpus(hits)), MODEL, dataclasses.replace(TEST, inputs=inputs))


def test_bad_fields_are_named():
    with pytest.raises(ValueError, match="Field `function` of Corpus must be a function, but is 3"):
        Corpus(3)
    with pytest.raises(ValueError, match="Field `loss` of Task must be a function of each example"):
        changed(loss=Corpus(hits))
    with pytest.raises(ValueError, match="Field `pretrained` of Task must be True or False, but is 'yes'"):
        changed(pretrained="yes")


def test_bad_outputs_of_a_corpus_are_refused():
    class Two(tiny_task.Perceptron):
        def __call__(self, inputs):
            return super().__call__(inputs), inputs

    with pytest.raises(ValueError, match="must return one array for its score of all examples together"):
        check_contract(
            changed(score=Corpus(hits), loss=lambda outputs, targets: targets), Two(nnx.Rngs(0)), TEST, "test"
        )


@pytest.mark.parametrize(
    ("outputs", "targets", "message"),
    [
        (np.zeros((4, 2)), np.arange(4), "one number for each example, but have shapes"),
        (np.zeros(3), np.arange(4), "one number for each example, but have shapes"),
        (np.arange(4), np.ones(4), "must hold different numbers, but all 4 are equal"),
    ],
)
def test_bad_ranks_are_refused(outputs, targets, message):
    with pytest.raises(ValueError, match=message):
        spearman(outputs, targets)


def sums(outputs, targets):
    """What is gathered of a batch: hits, and the whole of an output."""
    return jnp.stack([outputs.argmax(axis=1) == targets, outputs.sum(axis=1)], axis=1)


def test_what_a_batch_is_reduced_to_is_all_that_is_gathered():
    seen = []

    def share(reduced, targets):
        seen.append(reduced.shape)
        return reduced[:, 0].mean(dtype=np.float64)

    task = changed(score=Corpus(share, sums))
    check_contract(task, MODEL, TEST, "test")
    found = mean_score(task, MODEL, TEST, batch=30)
    np.testing.assert_allclose(found, mean_score(changed(score=Corpus(hits)), MODEL, TEST), rtol=1e-12)
    assert seen == [(101, 2)]
    inputs = TEST.inputs.copy()
    inputs[90] = 3e38  # a hit, or none, but not of a number
    with pytest.raises(FloatingPointError, match="outputs for example 90 are not finite"):
        mean_score(task, MODEL, dataclasses.replace(TEST, inputs=inputs))


def test_bad_reductions_are_refused():
    with pytest.raises(ValueError, match="Field `of_examples` of Corpus must be a function or None, but is 3"):
        Corpus(hits, 3)
    for reduce, shown in ((lambda y, t: y.sum(), r"shape \(\)"), (lambda y, t: 1j * y, "complex64")):
        with pytest.raises(ValueError, match=f"must return real numbers with the 7 examples on the first .*{shown}"):
            check_contract(changed(score=Corpus(hits, reduce)), MODEL, TEST, "test")
