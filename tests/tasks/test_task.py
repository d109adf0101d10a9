import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_task
from flax import nnx

from jaxaimc import AnalogConfig, nn
from jaxaimc.tasks import Recipe, Split, check_contract, checkpoints, cross_entropy, load_model, weights

TASK = tiny_task.task()
TEST = TASK.split("test")


def changed(**fields):
    return dataclasses.replace(TASK, **fields)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("epochs", 0),
        ("batch", 0),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("warmup", 1.0),
        ("weight_decay", -1.0),
        ("clip_norm", 0.0),
        ("seed", -1),
        ("epochs", 2.5),
        ("epochs", 10**10),
        ("batch", True),
        ("seed", None),
        ("learning_rate", "fast"),
        ("learning_rate", float("inf")),
        ("augment", "flip"),
    ],
)
def test_recipe_names_the_field_that_is_out_of_range(field, value):
    with pytest.raises(ValueError, match=f"Field `{field}` of the recipe must be"):
        Recipe(**{field: value})


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("name", "", "a text that is not empty, but is ''"),
        ("metric", None, "a text that is not empty, but is None"),
        ("build", 3, "a function, but is 3"),
        ("split", "test", "a function, but is 'test'"),
        ("loss", None, "a function, but is None"),
        ("score", 0.5, "a function, but is 0.5"),
        ("chance", float("nan"), ""),
        ("chance", "half", "a number"),
        ("recipe", {"epochs": 3}, "a Recipe, but is"),
        ("default_checkpoint", 3, "a path, but is 3"),
        ("assets", {"tokenizer": b"x"}, "texts by name, but is"),
    ],
)
def test_s8_a_task_names_the_field_that_cannot_be(field, value, message):
    with pytest.raises(ValueError, match=f"Field `{field}` of Task must be {message}"):
        changed(**{field: value})


def test_s8_data_and_networks_of_other_types_are_refused(tmp_path):
    with pytest.raises(ValueError, match="Field `split` of Task must return a Split, but returns a tuple for 'test'"):
        changed(split=lambda name: (TEST.inputs, TEST.targets)).split("test")
    checkpoint = tmp_path / "weights"
    nothing = changed(build=lambda key: lambda inputs: inputs, default_checkpoint=checkpoint)
    tiny_task_weights(checkpoint)
    with pytest.raises(ValueError, match=r"Field `build` of task 'corners' must return a flax\.nnx\.Module"):
        load_model(nothing)


def tiny_task_weights(path):
    checkpoints.save(path, weights(TASK.build(jax.random.key(0))))


@pytest.mark.parametrize("field", ["loss", "score"])
@pytest.mark.parametrize(
    ("function", "message"),
    [
        (
            lambda outputs, targets: outputs.mean(),
            r"each of the 4 examples, but returns shape \(\) for outputs of shape",
        ),
        (lambda outputs, targets: outputs, r"returns shape \(4, 3\)"),
        (lambda outputs, targets: outputs[:, 0] + 0j, "real numbers, but returns complex ones"),
    ],
)
@pytest.mark.parametrize("compiled", [False, True])
def test_s8_measures_return_one_number_per_example(field, function, message, compiled):
    measure = getattr(changed(**{field: function}), field)
    call = jax.jit(lambda outputs, targets: measure(outputs, targets)) if compiled else measure
    with pytest.raises(ValueError, match=f"Field `{field}` of the task must return .*{message}"):
        call(jnp.zeros((4, 3)), jnp.zeros(4, int))


def test_equal_measures_share_compilations():
    assert TASK.score == tiny_task.task().score
    assert hash(TASK.score) == hash(changed(name="other").score)
    assert dataclasses.replace(TASK).loss == TASK.loss


@pytest.mark.parametrize("label", [3, -1])
@pytest.mark.parametrize("loss", [cross_entropy, functools.partial(cross_entropy, smoothing=0.1)])
def test_s8_labels_out_of_range_name_the_part_and_the_example(label, loss):
    targets = TEST.targets.copy()
    targets[[17, 40]] = label
    message = (
        f"part 'test' of task 'corners' must be labels 0 to 2, but 2 of 101 are not, the first {label} of example 17"
    )
    with pytest.raises(ValueError, match=message):
        check_contract(changed(loss=loss), TASK.build(jax.random.key(0)), Split(TEST.inputs, targets), "test")


def test_s8_targets_that_are_no_labels_are_refused():
    for targets in (np.eye(3)[TEST.targets], TEST.targets.astype(float)):
        with pytest.raises(ValueError, match="must be labels 0 to 2, one whole number for each example"):
            check_contract(TASK, TASK.build(jax.random.key(0)), Split(TEST.inputs, targets), "test")
    # A measure of one's own may take any targets.
    own = changed(loss=lambda outputs, targets: ((outputs - targets) ** 2).sum(1), score=lambda y, t: (y * t).sum(1))
    check_contract(own, TASK.build(jax.random.key(0)), Split(TEST.inputs, np.eye(3)[TEST.targets]), "test")


class Pooled(tiny_task.Perceptron):
    def __call__(self, inputs):
        return super().__call__(inputs).mean(axis=0)


class TwoHeads(tiny_task.Perceptron):
    def __call__(self, inputs):
        outputs = super().__call__(inputs)
        return outputs, outputs[:, :1]


def test_s8_outputs_of_other_shapes_are_refused():
    with pytest.raises(ValueError, match=r"first axis, \(7, ...\) for 7 examples, but returns shape \(3,\)"):
        check_contract(TASK, Pooled(nnx.Rngs(0)), TEST, "test")
    with pytest.raises(ValueError, match=r"one logit for each class, .* returns shape \(\(7, 3\), \(7, 1\)\) for 7"):
        check_contract(TASK, TwoHeads(nnx.Rngs(0)), TEST, "test")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_s8_weights_that_are_no_numbers_are_named(value):
    model = TASK.build(jax.random.key(0))
    model.norm.mean.set_value(model.norm.mean.get_value().at[2].set(value))
    with pytest.raises(ValueError, match=r"Parameter 'norm\.mean' of the network of task 'corners' must be finite"):
        check_contract(TASK, model, TEST, "test")


def test_the_contract_of_a_good_task_holds_also_for_analog_networks():
    model = TASK.build(jax.random.key(0))
    check_contract(TASK, model, TEST, "test")
    check_contract(TASK, nn.convert(model, AnalogConfig()), TEST, "test")
    check_contract(TASK, model, TEST.first(1), "test")


def test_bad_readers_of_published_weights_are_explained(tmp_path):
    published = tmp_path / "weights.bin"
    published.write_bytes(b"weights")
    with pytest.raises(ValueError, match="Field `read_weights` of Task must be a function or None, but is 'file'"):
        changed(read_weights="file")
    task = changed(read_weights=lambda path: path.name)
    with pytest.raises(
        ValueError, match=r"`read_weights` of task 'corners' must return a flax\.nnx\.Module.*returns a str"
    ):
        load_model(task, published)


def test_a_checkpoint_is_read_by_the_library_and_another_file_by_the_task(tmp_path):
    network, other = TASK.build(jax.random.key(1)), TASK.build(jax.random.key(2))
    checkpoints.save(tmp_path / "own.safetensors", weights(network))
    (tmp_path / "published.safetensors").write_bytes(b"weights")
    task = changed(read_weights=lambda path: other)
    found = load_model(task, tmp_path / "own.safetensors")
    np.testing.assert_array_equal(found.head.kernel[...], network.head.kernel[...])
    assert load_model(task, tmp_path / "published.safetensors") is other
    assert other.dropout.deterministic  # in evaluation
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        load_model(task, tmp_path / "absent")
