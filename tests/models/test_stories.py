"""The task on stories: windows, measures, and the published network on the text at hand."""

import os
import re
import struct
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from test_decoder import llama, logits_of
from test_llama2c import MARKS, SCORES, llama2c_file, tokenizer_file

from jaxaimc.tasks import check_contract, load_model
from jaxaimc.tasks.score import mean_score
from models import stories

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from experiments import story_on_a_chip as study

# Next to the repository where it is present, or where the variable says.
DATA = Path(os.environ.get("JAXAIMC_DATA") or Path(__file__).parents[3] / "shared" / "data") / "stories260k"
NEEDS_DATA = pytest.mark.skipif(
    not DATA.is_dir(), reason="needs stories260K.bin, tok512.bin and tinystories_sample.txt (JAXAIMC_DATA)"
)


@pytest.fixture
def folder(tmp_path):
    """Two stories, a tokenizer, and a network of random weights whose vocabulary is as large."""
    header, network = struct.unpack("<7i", llama2c_file(llama(True), True)[:28]), llama2c_file(llama(True), True)[28:]
    width, vocabulary, wanted = header[0], header[5], len(MARKS) + len(SCORES)
    more = np.random.default_rng(1).normal(0, 0.3, (wanted - vocabulary, width)).astype("<f4").tobytes()
    embedding = 4 * width * vocabulary
    content = struct.pack("<7i", *header[:5], wanted, header[6]) + network[:embedding] + more + network[embedding:]
    (tmp_path / stories.WEIGHTS).write_bytes(content)
    (tmp_path / stories.TOKENIZER).write_bytes(tokenizer_file())
    (tmp_path / "tinystories_sample.txt").write_text("\nab “a”\n<|endoftext|>\n" + "abc " * 12 + "\n<|endoftext|>\n")
    return tmp_path


def test_every_token_but_the_first_is_a_target_once():
    split = stories.windows([[1, 5, 6], [1, 7, 8, 9, 10, 11, 12]], 4)
    np.testing.assert_array_equal(split.inputs, [[1, 5, 0, 0], [1, 7, 8, 9], [10, 11, 0, 0]])
    np.testing.assert_array_equal(split.targets, [[5, 6, -1, -1], [7, 8, 9, 10], [11, 12, -1, -1]])


def test_measures_count_every_token_alike():
    random = np.random.default_rng(0)
    outputs, targets = random.normal(size=(2, 3, 5)).astype(np.float32), np.array([[0, 4, -1], [2, -1, -1]])
    logs = np.log(np.exp(outputs) / np.exp(outputs).sum(-1, keepdims=True))
    chosen = np.array([logs[0, 0, 0], logs[0, 1, 4], logs[1, 0, 2]])
    assert stories.mean_loss(outputs, targets) == pytest.approx(-chosen.mean(), rel=1e-5)
    each = stories.story_loss(jnp.array(outputs), jnp.array(targets))
    np.testing.assert_allclose(each, [-chosen[:2].mean(), -chosen[2]], rtol=1e-5)
    outputs[0, 1, 4] = 9  # one hit of three, unless the others happen to be
    hits = [outputs[0, 0].argmax() == 0, True, outputs[1, 0].argmax() == 2]
    assert stories.next_token_accuracy(outputs, targets) == pytest.approx(np.mean(hits))


def test_the_task_measures_the_network_of_the_folder(folder):
    task = stories.stories260k(folder)
    model, split = load_model(task), task.split("test")
    check_contract(task, model, split, "test")
    assert split.inputs.shape == split.targets.shape == (3, 16)  # the second story is longer than the network's text
    scores = stories.measure(model, split)
    assert scores.tokens == (split.targets >= 0).sum()
    assert scores.perplexity == pytest.approx(np.exp(scores.loss))
    assert mean_score(task, model, split, batch=1) == pytest.approx(scores.accuracy)
    loss = mean_score(stories.stories260k_loss(folder), model, split, batch=2)
    assert loss == pytest.approx(scores.loss, rel=1e-5)
    outputs = logits_of(model, jnp.array(split.inputs))
    # A number for each story is gathered, not its logits.
    assert task.score.reduced(outputs, jnp.array(split.targets)).shape == (3,)
    gradient = jax.grad(lambda x: task.loss(x, jnp.array(split.targets)).sum())(outputs)
    assert float(jnp.abs(gradient[split.targets < 0]).max()) == 0


def test_typographic_marks_become_plain_ones(folder):
    assert stories.read_stories(folder / "tinystories_sample.txt") == ['ab "a"', " ".join(["abc"] * 12)]


def test_damaged_data_are_explained(folder, monkeypatch):
    monkeypatch.delenv("JAXAIMC_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match=r"stories260K\.bin, tok512\.bin .* environment variable JAXAIMC_DATA"):
        stories.stories260k()
    task = stories.stories260k(folder)
    with pytest.raises(ValueError, match="one of 'train', 'test', but is 'dev'"):
        task.split("dev")
    with pytest.raises(FileNotFoundError, match=r"no text file .*tinystories_train\.txt"):
        task.split("train")
    text = folder / "tinystories_sample.txt"
    for content, message in [
        (b"caf\xe9", "must be text in UTF-8, but is not from byte 3 on"),
        (b"\n<|endoftext|>\n", "must hold at least one story"),
    ]:
        text.write_bytes(content)
        with pytest.raises(ValueError, match=rf"Text file '.*tinystories_sample\.txt' {message}"):
            task.split("test")
    (folder / stories.TOKENIZER).write_bytes(tokenizer_file()[:-1])
    with pytest.raises(ValueError, match=r"Tokenizer file '.*tok512\.bin' is truncated"):
        stories.stories260k(folder)


@NEEDS_DATA
def test_the_published_network_has_the_reference_scores(monkeypatch):
    """Loss 1.264, perplexity 3.54, accuracy 65.3 % on 1,802 tokens, from another implementation."""
    monkeypatch.setenv("JAXAIMC_DATA", str(DATA.parent))
    task = stories.stories260k()
    scores = stories.measure(load_model(task), task.split("test"))
    assert scores.tokens == 1802
    assert scores.loss == pytest.approx(1.264, abs=6e-4)
    assert scores.perplexity == pytest.approx(3.54, abs=6e-3)
    assert scores.accuracy == pytest.approx(0.653, abs=6e-4)


class Certain(nnx.Module):
    """A head that is sure of one token at every place."""

    def __init__(self, token):
        self.token = token

    def __call__(self, x):
        return jnp.zeros((*x.shape[:-1], 270)).at[..., self.token].set(1.0)


def test_a_story_goes_on_from_its_prompt_to_its_end(folder):
    task = stories.stories260k(folder)
    model = load_model(task)
    tokenizer = stories.llama2c_tokens.read(folder / stories.TOKENIZER, model.vocabulary)
    for token, expected in ((MARKS.index(b"<0x41>"), "abAAA"), (stories.llama2c_tokens.END, "ab")):
        certain = nnx.clone(model)
        certain.head = Certain(token)
        assert study.tell(certain, tokenizer, "ab", jax.random.key(0), tokens=3, temperature=0) == expected


@pytest.mark.slow
@NEEDS_DATA
def test_the_study_tells_its_story_on_chips(capsys):
    study.main(DATA, prompt="Once upon a time", tokens=8)
    told = capsys.readouterr().out
    assert told.count("Once upon a time") == 5
    losses = [float(found) for found in re.findall(r"\(loss ([0-9.]+),", told)]
    assert losses[0] == pytest.approx(1.264, abs=1e-3)
    # A chip is worse than software, drift without compensation and a wire of 3 ohm are worse than both.
    assert losses[0] < losses[1] < losses[3] < min(losses[2], losses[4])


@NEEDS_DATA
def test_the_published_tokenizer_gives_text_back():
    tokenizer = stories.llama2c_tokens.read(DATA / stories.TOKENIZER, 512)
    for story in stories.read_stories(DATA / "tinystories_sample.txt"):
        tokens = tokenizer.encode(story)
        assert tokenizer.decode(tokens) == story
        assert len(tokens) < 0.6 * len(story)
