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
        ("text,label\na,b\n", "must have the columns text and category"),
        ("", "must have the columns text and category, but has None"),
        ("text,category\n", "at least one sentence"),
        ("text,category\na,intent_00\nb,unheard\n", "row 2 has 'unheard'"),
        ("text,category\na\n", "row 1 has None"),
    ]:
        test.write_text(content)
        with pytest.raises(ValueError, match=message):
            banking77(folder).split("test")
    test.unlink()
    with pytest.raises(FileNotFoundError, match=r"no data file .*test\.csv"):
        banking77(folder).split("test")
    (folder / "categories.json").write_text('["one"]')
    with pytest.raises(ValueError, match="a list of 77 distinct names"):
        banking77(folder)


@pytest.mark.skipif(not FOLDER.is_dir(), reason="needs the Banking77 folder (JAXAIMC_BANKING77)")
def test_the_published_data_are_read_completely(monkeypatch):
    monkeypatch.setenv("JAXAIMC_BANKING77", str(FOLDER))
    task = banking77()
    train, test = task.split("train"), task.split("test")
    assert (len(train), len(test)) == (10_003, 3_080)
    assert np.bincount(test.targets).tolist() == [40] * 77
