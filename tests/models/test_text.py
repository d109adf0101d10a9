import json
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("tokenizers", reason="needs the tokenizers library (the [models] extra)")

from models.text import banking77, drop_tokens

# The repository's data set lies in a sibling folder where it is present, or where the variable says.
FOLDER = Path(os.environ.get("JAXAIMC_BANKING77") or Path(__file__).parents[3] / "shared" / "data" / "banking77")


@pytest.fixture
def folder(tmp_path):
    """A data set in the published form, of made-up sentences."""
    names = [f"intent_{i:02d}" for i in range(77)]
    (tmp_path / "categories.json").write_text(json.dumps(names))
    rows = [f'"My card, number {i}, is lost?",{name}' for i, name in enumerate(names)]
    for part in ("train", "test"):
        (tmp_path / f"{part}.csv").write_text("\n".join(["text,category", *rows]) + "\n")
    return tmp_path


def test_sentences_become_padded_tokens(folder):
    task = banking77(folder)
    train = task.split("train")
    assert train.inputs.shape == (77, 48)
    assert train.targets.tolist() == list(range(77))
    used = (train.inputs != 0).sum(1)
    assert used.min() >= 6
    assert not (np.diff((train.inputs != 0).astype(int), axis=1) > 0).any()  # padding at the end only
    assert not (train.inputs == 1).any()  # every training character is known
    model = task.build(jax.random.key(0))
    assert model(jnp.array(train.inputs[:2])).shape == (2, 77)


def test_the_tokenizer_is_the_same_every_time(folder):
    assert banking77(folder).assets == banking77(folder).assets
    assert "lost" in json.loads(banking77(folder).assets["tokenizer"])["model"]["vocab"].__str__()


def test_dropping_replaces_words_and_never_padding():
    tokens = jnp.tile(jnp.array([5, 6, 7, 0]), (5000, 1))
    changed = np.asarray(drop_tokens(jax.random.key(0), tokens))
    assert not changed[:, 3].any()
    kept = changed[:, :3] == np.array([5, 6, 7])
    assert set(changed[:, :3][~kept].tolist()) == {1}
    assert abs((~kept).mean() - 0.2) < 3 * np.sqrt(0.2 * 0.8 / kept.size)


def test_damaged_data_are_explained(folder, monkeypatch):
    monkeypatch.delenv("JAXAIMC_BANKING77", raising=False)
    with pytest.raises(FileNotFoundError, match="environment variable JAXAIMC_BANKING77"):
        banking77()
    with pytest.raises(ValueError, match="one of 'train', 'test', but is 'dev'"):
        banking77(folder).split("dev")
    test = folder / "test.csv"
    for content, message in [
        (b"text,label\na,b\n", "must have the columns text, category, each once, but has text, label"),
        (b"text,text,category\na,b,intent_00\n", "must have the columns text, category, each once"),
        (b"", "must have the columns text, category, each once, but has none"),
        (b"text,category\n", "at least one sentence"),
        (
            b"text,category\na,intent_00\nb,unheard\n",
            "line 3, must have .* known category, but has 'b' and 'unheard'",
        ),
        (b"text,category\n ,intent_00\n", "line 2, must have a sentence"),
        (b"text,category\na\n", "line 2, must have 2 entries, but has 1"),
        (b"text,category\na,intent_00,b\n", "line 2, must have 2 entries, but has 3"),
        (
            b'text,category\n"' + b"a" * 200_000 + b",intent_00\n",
            "line 2: field larger than field limit.* quotation mark",
        ),
        (b"text,category\ncaf\xe9,intent_00\n", "must be text in UTF-8, but is not from byte 17 on"),
    ]:
        test.write_bytes(content)
        with pytest.raises(ValueError, match=rf"Data file '.*test\.csv'.*{message}"):
            banking77(folder).split("test")
    test.unlink()
    with pytest.raises(FileNotFoundError, match=r"no data file .*test\.csv"):
        banking77(folder).split("test")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('["one"]', "a list of 77 distinct names, but has 1 entries"),
        (json.dumps([f"intent_{i:02d}" for i in range(77)] + ["intent_03"]), "78 entries, 'intent_03' more than once"),
        (json.dumps([f"intent_{i % 76:02d}" for i in range(77)]), "77 entries, 'intent_00' more than once"),
        (json.dumps(list(range(77))), "a list of 77 distinct names"),
        ('{"a": 1}', "but is a dict"),
        ("[", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
    ],
)
def test_s7_categories_that_cannot_be_name_their_file(folder, content, message):
    (folder / "categories.json").write_text(content)
    with pytest.raises(ValueError, match=rf"Data file '.*categories\.json' .*{message}"):
        banking77(folder)


def test_s7_byte_order_marks_are_passed_over(folder):
    wanted = banking77(folder).split("train")
    for name in ("train.csv", "categories.json"):
        (folder / name).write_bytes(b"\xef\xbb\xbf" + (folder / name).read_bytes())
    found = banking77(folder).split("train")
    np.testing.assert_array_equal(found.inputs, wanted.inputs)
    np.testing.assert_array_equal(found.targets, wanted.targets)


@pytest.mark.skipif(not FOLDER.is_dir(), reason="needs the Banking77 folder (JAXAIMC_BANKING77)")
def test_the_published_data_are_read_completely(monkeypatch):
    monkeypatch.setenv("JAXAIMC_BANKING77", str(FOLDER))
    task = banking77()
    train, test = task.split("train"), task.split("test")
    assert (len(train), len(test)) == (10_003, 3_080)
    assert np.bincount(test.targets).tolist() == [40] * 77
