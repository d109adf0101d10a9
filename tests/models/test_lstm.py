import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxaimc import AnalogConfig, nn
from jaxaimc.adcs import IdealADC
from jaxaimc.devices import IdealDevice
from jaxaimc.drives import PWM
from jaxaimc.tasks import Recipe, Split, load_model
from jaxaimc.tasks.score import mean_score
from jaxaimc.training import fit
from jaxaimc.wires import NoWires
from models.lstm import (
    ASSETS,
    CharacterLSTM,
    bits_per_character,
    next_character_accuracy,
    next_character_loss,
    tinyshakespeare,
)

# The repository's data sets lie in a sibling folder where they are present, or where the variable says.
DATA = Path(os.environ.get("JAXAIMC_DATA") or Path(__file__).parents[3] / "shared" / "data") / "tinyshakespeare"
CHIP, READ = jax.random.split(jax.random.key(7))


@pytest.fixture
def folder(tmp_path):
    """A text of its own in the published form."""
    (tmp_path / "input.txt").write_text("the cat sat on the mat.\n" * 100)
    return tmp_path


def small(layers=1):
    return CharacterLSTM(vocabulary=6, width=4, hidden=8, layers=layers, rngs=nnx.Rngs(0))


def test_a_text_becomes_windows_and_the_characters_that_follow(folder):
    task = tinyshakespeare(folder)
    assert task.assets["characters"] == "\n .acehmnost"
    train, test = task.split("train"), task.split("test")
    assert train.inputs.shape == (33, 64)
    assert test.inputs.shape == (3, 64)
    text = "".join(np.array(list(task.assets["characters"]))[train.inputs].ravel())
    assert text == (folder / "input.txt").read_text()[: 33 * 64]
    np.testing.assert_array_equal(train.targets.ravel()[:-1], train.inputs.ravel()[1:])
    # "t" and the space are the most frequent ones, 5 of 24.
    assert task.chance == pytest.approx(5 / 24, abs=2e-3)
    model = task.build(jax.random.key(0))
    assert model(jnp.asarray(train.inputs[:2])).shape == (2, 64, 12)


def test_the_network_is_an_lstm_and_sees_no_later_character():
    model, x = small(layers=2), jax.random.randint(READ, (2, 5), 0, 6)
    cells = [layer.cell for layer in model.layers]
    h, outputs = model.table(x), []
    for cell in cells:
        carry, outputs = (jnp.zeros((2, 8)), jnp.zeros((2, 8))), []
        for step in range(5):
            carry, y = cell(carry, h[:, step])
            outputs.append(y)
        h = jnp.stack(outputs, axis=1)
    call = jax.jit(lambda model, x: model(x))
    y = call(model, x)
    np.testing.assert_allclose(y, model.head(h), atol=1e-5)
    changed = call(model, x.at[:, 3:].set(0))
    np.testing.assert_allclose(changed[:, :3], y[:, :3], atol=1e-6)


def test_measures_are_means_over_the_characters_of_a_window():
    outputs = jax.random.normal(READ, (2, 3, 6))
    targets = jnp.array([[0, 1, 2], [3, 4, 5]])
    probability = np.exp(outputs) / np.exp(outputs).sum(-1, keepdims=True)
    wanted = -np.log(np.take_along_axis(probability, np.asarray(targets)[..., None], -1))[..., 0].mean(1)
    np.testing.assert_allclose(next_character_loss(outputs, targets), wanted, rtol=1e-5)
    np.testing.assert_allclose(bits_per_character(outputs, targets), wanted / np.log(2), rtol=1e-5)
    hits = (np.asarray(outputs).argmax(-1) == np.asarray(targets)).mean(1)
    np.testing.assert_allclose(next_character_accuracy(outputs, targets), hits, rtol=1e-6)


def test_every_gate_and_the_head_are_on_tiles():
    model, x = small(layers=2), jax.random.randint(READ, (2, 5), 0, 6)
    ideal = AnalogConfig(device=IdealDevice(), wires=NoWires(), adc=IdealADC(), drive=PWM(bits=16))
    products = nn.products(nn.convert(model, ideal))
    gates = [f"layers/{layer}/cell/dense_{part}" for layer in (0, 1) for part in ("h", "i")]
    assert [product.path for product in products] == ["head", *gates]
    assert all(product.analog for product in products)
    np.testing.assert_allclose(nn.convert(model, ideal, CHIP)(x), model(x), atol=2e-3)


@pytest.mark.slow
def test_it_learns_a_text(folder, tmp_path):
    task = tinyshakespeare(folder)
    recipe = Recipe(epochs=8, batch=3, learning_rate=0.03, warmup=0.1, weight_decay=0.0)
    model = CharacterLSTM(vocabulary=12, width=4, hidden=8, layers=1, rngs=nnx.Rngs(0))
    before = mean_score(task, model, task.split("test"))
    trained = fit(task, recipe, directory=tmp_path / "run", model=model)
    assert before < 0.3 < trained.score


def test_damaged_data_are_explained(folder, monkeypatch):
    monkeypatch.delenv("JAXAIMC_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="environment variable JAXAIMC_DATA"):
        tinyshakespeare()
    with pytest.raises(ValueError, match="one of 'train', 'test', but is 'dev'"):
        tinyshakespeare(folder).split("dev")
    file = folder / "input.txt"
    for content, message in [
        (b"caf\xe9" * 1000, "must be text in UTF-8, but is not from byte 3 on"),
        (b"short", "at least 650 characters, .* but holds 5"),
    ]:
        file.write_bytes(content)
        with pytest.raises(ValueError, match=rf"Data file '.*input\.txt' .*{message}"):
            tinyshakespeare(folder)
    file.unlink()
    with pytest.raises(FileNotFoundError, match=r"no data file .*input\.txt"):
        tinyshakespeare(folder)
    monkeypatch.setenv("JAXAIMC_DATA", str(folder / "elsewhere"))
    with pytest.raises(FileNotFoundError, match=r"no folder '.*elsewhere/tinyshakespeare'; it needs input\.txt"):
        tinyshakespeare()


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the folder of Tiny Shakespeare (JAXAIMC_DATA/tinyshakespeare)")
def test_the_published_text_and_the_trained_weights_that_come_with_it():
    task = tinyshakespeare(DATA)
    train, test = task.split("train"), task.split("test")
    assert (len(train), len(test)) == (15_685, 1_742)
    assert len(task.assets["characters"]) == 65
    if not (ASSETS / "lstm.safetensors").is_file():
        pytest.skip("no trained weights")
    few = Split(test.inputs[:50], test.targets[:50])
    assert mean_score(task, load_model(task), few) > 0.5
