"""Names of the Hugging Face hub, with a client in its place that copies from a folder: there is no network in tests."""

import builtins
import fnmatch
import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from jaxaimc.tasks import checkpoints, hub, load_model, load_task, weights
from models import cifar, lstm, minilm, stories, text
from models.weights import decoders, read

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Client(types.ModuleType):
    """What is used of `huggingface_hub`: fetches from folders named kind/owner/name into a folder of the commit."""

    def __init__(self, root: Path):
        super().__init__("huggingface_hub")
        self.root, self.calls, self.error = root / "hub", [], None
        self.root_of_cache = root / "cache"
        self.errors = types.ModuleType("huggingface_hub.errors")
        for name, base in [
            ("RepositoryNotFoundError", OSError), ("RevisionNotFoundError", OSError),
            ("LocalEntryNotFoundError", FileNotFoundError), ("HFValidationError", ValueError),
        ]:  # fmt: skip
            setattr(self.errors, name, type(name, (base,), {}))
        self.errors.GatedRepoError = type("GatedRepoError", (self.errors.RepositoryNotFoundError,), {})

    def snapshot_download(self, repo_id, *, repo_type, revision, allow_patterns):
        self.calls.append((repo_type, repo_id, revision))
        if self.error is not None:
            raise self.error
        source = self.root / repo_type / repo_id
        self.cache = self.root_of_cache / repo_id / COMMIT
        self.cache.mkdir(parents=True, exist_ok=True)
        for path in source.rglob("*"):
            name = path.relative_to(source).as_posix()
            if path.is_file() and any(fnmatch.fnmatch(name, pattern) for pattern in allow_patterns):
                (self.cache / name).parent.mkdir(parents=True, exist_ok=True)
                (self.cache / name).write_bytes(path.read_bytes())
        return str(self.cache)

    def holds(self, kind, repo, **files):
        """Put files into a repository; `__` in a name is a folder, `_dot_` a dot."""
        for name, content in files.items():
            path = self.root / kind / repo / name.replace("__", "/").replace("_dot_", ".")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    @property
    def fetched(self):
        return sorted(path.relative_to(self.cache).as_posix() for path in self.cache.rglob("*") if path.is_file())


@pytest.fixture
def client(tmp_path, monkeypatch):
    found = Client(tmp_path)
    monkeypatch.setitem(sys.modules, "huggingface_hub", found)
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", found.errors)
    monkeypatch.setattr(hub, "_revisions", {})
    for name in ("DATA", "RESNET", "MINILM", "BANKING77"):
        monkeypatch.delenv(f"JAXAIMC_{name}", raising=False)
    return found


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("hf://owner/name", ("model", "owner/name", None, "")),
        ("hf://models/owner/name.v2@v1.0/", ("model", "owner/name.v2", "v1.0", "")),
        ("hf://datasets/o-w/n_m@refs/pr/3/a/b.bin", ("dataset", "o-w/n_m", "refs/pr/3", "a/b.bin")),
        ("hf://owner/name/folder", ("model", "owner/name", None, "folder")),
    ],
)
def test_names_are_taken_apart_as_texts_and_as_paths(text, parts):
    for value in (text, Path(text)):
        assert hub.is_name(value)
        found = hub.HubName.of(value)
        assert (found.kind, found.repo, found.revision, found.path) == parts
        assert hub.HubName.of(str(found)) == found


@pytest.mark.parametrize(
    "text",
    ["hf://owner", "hf://owner/name@", "hf://a/b/../../c", "hf://datasets/owner", "hf://spaces/owner/name", "hf:///"],
)
def test_bad_names_are_refused_before_anything_is_asked(client, text):
    with pytest.raises(ValueError, match="must have the form hf://owner/name or hf://datasets/owner/name"):
        hub.folder(text, ["*"])
    assert client.calls == []


def test_folders_and_files_on_the_disk_stay_what_they_are(client, tmp_path):
    assert hub.folder(tmp_path, ["*"]) == tmp_path
    assert hub.file("weights/a.bin") == Path("weights/a.bin")
    assert client.calls == []


def test_only_what_is_needed_is_fetched_and_its_commit_is_known(client):
    client.holds("dataset", "me/plays", input_dot_txt=b"abcdefgh" * 200, setup_dot_py=b"raise", other_dot_txt=b"x")
    task = load_task("models.lstm:tinyshakespeare", "hf://datasets/me/plays@v1")
    assert task.split("test").inputs.shape[1] == 64
    assert client.fetched == ["input.txt"]
    assert client.calls == [("dataset", "me/plays", "v1")]
    assert hub.revisions() == {"hf://datasets/me/plays@v1": COMMIT}
    assert len(lstm.tinyshakespeare("hf://datasets/me/plays").split("test")) == len(task.split("test"))


def test_a_factory_that_knows_no_hub_gets_a_folder_without_code(client, monkeypatch):
    client.holds("dataset", "me/own", a_dot_npy=b"1", b_dot_py=b"2", c__d_dot_csv=b"3")
    seen = []
    module = types.ModuleType("own_net")
    module.task = lambda folder: seen.append(folder) or lstm.tinyshakespeare("hf://datasets/me/own")
    monkeypatch.setitem(sys.modules, "own_net", module)
    client.holds("dataset", "me/own", input_dot_txt=b"abcdefgh" * 200)
    load_task("own_net:task", Path("hf://datasets/me/own"))
    assert seen == [client.cache]
    assert client.fetched == ["a.npy", "c/d.csv", "input.txt"]


def test_variables_may_name_the_hub(client, monkeypatch):
    archive = client.root / "x.npz"
    client.root.mkdir()
    np.savez(archive, x=np.zeros((2, 32, 32, 3), np.uint8), y=np.array([3, 4]))
    client.holds("dataset", "me/all", cifar10__cifar10_test_1_dot_npz=archive.read_bytes(), cifar10__x_dot_py=b"")
    monkeypatch.setenv("JAXAIMC_DATA", "hf://datasets/me/all")
    assert cifar.cifar10().split("test").targets.tolist() == [3, 4]
    assert client.fetched == ["cifar10/cifar10_test_1.npz"]
    client.holds(
        "model", "me/bert", model_dot_safetensors=b"w", vocab_dot_txt=b"v", config_dot_json=b"{}", a_dot_py=b""
    )
    monkeypatch.setenv("JAXAIMC_MINILM", "hf://me/bert@main")
    with pytest.raises(ValueError, match="The configuration of a BERT must have the entries"):
        minilm.find()  # reads the sizes from the file that was fetched
    client.cache = client.root_of_cache / "me/bert" / COMMIT
    assert client.fetched == ["config.json", "model.safetensors", "vocab.txt"]
    monkeypatch.setenv("JAXAIMC_BANKING77", "hf://datasets/me/none")
    with pytest.raises(FileNotFoundError, match=r"no data file .*categories\.json"):
        text.banking77()
    with pytest.raises(FileNotFoundError, match=r"no weights file .*stories260K\.bin"):
        stories.stories260k("hf://datasets/me/none")


def test_weights_come_in_the_first_form_that_is_there(client, tmp_path):
    np.savez(tmp_path / "w.npz", kernel=np.ones((3, 2), np.float32))
    client.holds("model", "me/old", folder__w_dot_npz=(tmp_path / "w.npz").read_bytes(), pytorch_model_dot_bin=b"?")
    assert read("hf://me/old/folder/w.npz")["kernel"].shape == (3, 2)
    assert client.fetched == ["folder/w.npz"]
    with pytest.raises(ValueError, match=r"pytorch_model\.bin' is no PyTorch checkpoint"):
        read("hf://me/old")  # a pickle goes through the reader that executes nothing
    with pytest.raises(
        FileNotFoundError, match=r"'hf://me/none' must have a file named 'model\.safetensors' or .*none"
    ):
        read("hf://me/none")
    client.holds("model", "me/gpt", config_dot_json=json.dumps({"model_type": "mamba"}).encode())
    with pytest.raises(ValueError, match="must have the `model_type` 'llama' or 'gpt2', but has 'mamba'"):
        decoders.load("hf://me/gpt")


def test_a_checkpoint_may_lie_on_the_hub(client, tmp_path):
    import jax
    import tiny_task

    task = tiny_task.task()
    model = task.build(jax.random.key(3))
    checkpoints.save(tmp_path / "c.safetensors", weights(model))
    client.holds("model", "me/corners", model_dot_safetensors=(tmp_path / "c.safetensors").read_bytes())
    found = load_model(task, "hf://me/corners")
    np.testing.assert_array_equal(found.head.kernel[...], model.head.kernel[...])


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        ("GatedRepoError", PermissionError, "granted by its owner: ask for it at https://huggingface.co/datasets/a/b,"),
        ("RepositoryNotFoundError", FileNotFoundError, "There is no data set 'a/b' on the hub, or it is private"),
        ("RevisionNotFoundError", FileNotFoundError, "The data set 'a/b' of the hub has no revision 'v9'"),
        ("LocalEntryNotFoundError", FileNotFoundError, r"not in the cache as a whole .*\(offline\); name a folder"),
        ("HFValidationError", ValueError, "must have the form"),
    ],
)
def test_bad_news_of_the_hub_are_one_sentence(client, error, kind, message):
    client.error = getattr(client.errors, error)("offline\nand more lines")
    with pytest.raises(kind, match=message) as caught:
        hub.folder("hf://datasets/a/b@v9", ["*"])
    assert "\n" not in str(caught.value) or kind is ValueError
    assert hub.revisions() == {}


def test_bad_networks_of_any_kind_are_one_sentence(client):
    client.error = type("ConnectError", (Exception,), {})("")  # of an HTTP library, no OSError
    with pytest.raises(FileNotFoundError, match=r"'hf://a/b' is not in the cache .*\(ConnectError\)"):
        hub.file("hf://a/b")


def test_bad_installations_say_what_to_install(monkeypatch):
    real = builtins.__import__

    def without(name, *arguments, **named):
        if name == "huggingface_hub":
            raise ModuleNotFoundError("No module named 'huggingface_hub'", name=name)
        return real(name, *arguments, **named)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModuleNotFoundError, match=r"huggingface_hub is needed: pip install 'jaxaimc\[hub\]'"):
        hub.folder("hf://owner/name", ["*"])


def test_the_real_client_finds_what_is_cached_and_stays_offline(tmp_path, monkeypatch):
    constants = pytest.importorskip("huggingface_hub.constants", reason="needs the extra hub")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    repo = tmp_path / "datasets--me--plays"
    (repo / "snapshots" / COMMIT).mkdir(parents=True)
    (repo / "snapshots" / COMMIT / "input.txt").write_text("abc")
    (repo / "refs").mkdir()
    (repo / "refs" / "main").write_text(COMMIT)
    monkeypatch.setattr(hub, "_revisions", {})
    assert (hub.folder("hf://datasets/me/plays", ["input.txt"]) / "input.txt").read_text() == "abc"
    assert hub.revisions() == {"hf://datasets/me/plays": COMMIT}
    with pytest.raises(FileNotFoundError, match="'hf://me/other' is not in the cache as a whole and could not be"):
        hub.folder("hf://me/other", ["*"])


def test_the_record_of_a_run_has_the_commits(client):
    from flax import nnx

    from jaxaimc import nn
    from jaxaimc.cli.record import notes_of

    summary = nn.summary(nnx.Linear(4, 3, rngs=nnx.Rngs(0)))
    assert "hub" not in notes_of(summary)
    client.holds("model", "me/w", model_dot_safetensors=b"")
    hub.file("hf://me/w@v2")
    assert notes_of(summary)["hub"] == {"hf://me/w@v2": COMMIT}
