import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special

from jaxaimc.tasks import Recipe, Split, Task, accuracy, cross_entropy, load_task


def test_cross_entropy_is_the_distance_to_the_smoothed_target():
    rng = np.random.default_rng(0)
    logits, labels, smoothing = rng.normal(size=(5, 4)).astype(np.float32), np.array([0, 3, 1, 1, 2]), 0.1
    target = (1 - smoothing) * np.eye(4)[labels] + smoothing / 4
    expected = -(target * scipy.special.log_softmax(logits, axis=-1)).sum(-1)
    np.testing.assert_allclose(cross_entropy(jnp.array(logits), jnp.array(labels), smoothing=smoothing), expected, 1e-6)


def test_accuracy_counts_per_example():
    outputs = jnp.array([[1.0, 2.0], [2.0, 1.0]])
    np.testing.assert_array_equal(accuracy(outputs, jnp.array([1, 1])), [1.0, 0.0])


def test_load_task_from_the_current_directory(tmp_path, monkeypatch):
    (tmp_path / "some_user_net.py").write_text("from tiny_task import task\nnumber = 3\ndef wrong(data): return data\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    assert isinstance(load_task("some_user_net:task"), Task)
    with pytest.raises(ValueError, match=r"has no attribute 'tusk'; it has: number, task, wrong"):
        load_task("some_user_net:tusk")
    with pytest.raises(TypeError, match="names a int"):
        load_task("some_user_net:number")
    with pytest.raises(TypeError, match="returned a NoneType"):
        load_task("some_user_net:wrong")


def test_load_task_tells_a_missing_module_from_a_missing_dependency(tmp_path, monkeypatch):
    (tmp_path / "net_with_needs.py").write_text("import surely_not_installed\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="no module 'no_such_module'"):
        load_task("no_such_module:task")
    with pytest.raises(ModuleNotFoundError, match=r"no module 'jaxaimc\.no_such_part'"):
        load_task("jaxaimc.no_such_part:task")
    with pytest.raises(ModuleNotFoundError, match="'net_with_needs' needs 'surely_not_installed'"):
        load_task("net_with_needs:task")


@pytest.mark.parametrize("path", ["models.vit", "models.vit:", ":task", "models/vit.py:task", "a..b:c"])
def test_load_task_refuses_other_forms(path):
    with pytest.raises(ValueError, match=r"'package.module:factory'"):
        load_task(path)


def test_load_task_refuses_a_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="Argument `data` must be an existing folder"):
        load_task("tiny_task:task", tmp_path / "absent")


def test_split_checks_its_lengths():
    with pytest.raises(ValueError, match="one entry for each of the 3 inputs, but has 2"):
        Split(np.zeros((3, 1)), np.zeros(2))
    with pytest.raises(ValueError, match="at least one example"):
        Split(np.zeros((0, 1)), np.zeros(0))
    split = Split(np.zeros((3, 1)), np.zeros(3))
    assert len(split.first(2)) == 2
    assert len(split.first(None)) == len(split.first(9)) == 3
    with pytest.raises(ValueError, match="must be at least 1, but is 0"):
        split.first(0)


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
    ],
)
def test_recipe_names_the_field_that_is_out_of_range(field, value):
    with pytest.raises(ValueError, match=f"Field `{field}` of the recipe must be"):
        Recipe(**{field: value})
