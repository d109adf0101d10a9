"""Files of the Hugging Face hub, by a name in the place of a folder or a file.

    hf://owner/name[@revision][/path]             a model
    hf://datasets/owner/name[@revision][/path]    a data set

A revision is a commit, a tag, or a branch, by default the main one. A path names a folder or a file within. What is
needed is fetched into the cache of `huggingface_hub`, found there again, and taken from there alone where that client
is told to stay offline (`HF_HUB_OFFLINE=1`). Nothing that is fetched is executed: code is not asked for, and weights
are read by readers that run none.
"""

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

# A `pathlib.Path` of a name has one stroke less.
_NAME = re.compile(
    r"hf:/{1,2}(?:(?P<kind>datasets|models)/)?(?P<repo>(?!(?:datasets|models|spaces|kernels|buckets)/)[\w.-]+/[\w.-]+)"
    r"(?:@(?P<revision>refs/(?:pr/\d+|convert/[\w.-]+)|[^/@]+))?(?:/(?P<path>[^@]+))?"
)
_FORM = "hf://owner/name or hf://datasets/owner/name, with @revision and /path where they are wanted"
# Files that hold numbers or text, for tasks that do not say which they need.
DATA: tuple[str, ...] = tuple(
    f"*.{ending}"
    for ending in ("bin", "csv", "gz", "json", "jsonl", "npy", "npz", "parquet", "png", "safetensors", "tsv", "txt")
)
# Names of published weights, the first that is there being the one that is read.
WEIGHTS: tuple[str, ...] = ("model.safetensors", "*.safetensors", "*.th", "*.pt", "pytorch_model.bin", "model.onnx")

_revisions: dict[str, str] = {}
Factory = TypeVar("Factory", bound=Callable[..., Any])


@dataclass(frozen=True)
class HubName:
    """A name of the hub, taken apart.

    Args:
        kind: `"model"` or `"dataset"`.
        repo: Owner and name.
        revision: Commit, tag or branch; None for the main branch.
        path: Folder or file within; empty for the whole.
    """

    kind: str
    repo: str
    revision: str | None = None
    path: str = ""

    @classmethod
    def of(cls, value: str | os.PathLike[str]) -> "HubName":
        """Take a name apart.

        Args:
            value: The name, such as `"hf://datasets/owner/name@v1"`.

        Raises:
            ValueError: If it has another form.

        Example:
            >>> HubName.of("hf://karpathy/tinyllamas@main/stories260K")
            HubName(kind='model', repo='karpathy/tinyllamas', revision='main', path='stories260K')
        """
        text = _text(value)
        found = _NAME.fullmatch(text.rstrip("/"))
        path = (found and found["path"]) or ""
        if found is None or ".." in path.split("/"):
            raise ValueError(f"A name of the hub must have the form {_FORM}, but is {text!r}.")
        kind = "dataset" if found["kind"] == "datasets" else "model"
        return cls(kind, found["repo"], found["revision"], path)

    def __str__(self) -> str:
        revision = "" if self.revision is None else f"@{self.revision}"
        path = f"/{self.path}" if self.path else ""
        return f"hf://{'datasets/' if self.kind == 'dataset' else ''}{self.repo}{revision}{path}"


def is_name(value: Any) -> bool:
    """Return whether a text or a path is meant as a name of the hub.

    Args:
        value: Anything.

    Example:
        >>> is_name("hf://owner/name"), is_name(Path("hf://owner/name")), is_name("data/cifar10")
        (True, True, False)
    """
    return isinstance(value, (str, os.PathLike)) and _text(value).startswith("hf:/")


def folder(value: str | os.PathLike[str], files: Sequence[str]) -> Path:
    """Return a folder, fetched if a name of the hub is given.

    Args:
        value: A folder, which is returned as it is, or a name of the hub.
        files: Patterns of the files that are needed, such as `"*.npz"`; of the folder that a name's path names, if it
            has one.

    Returns:
        The folder; of the hub's files it holds those that are there, which the reader has to check.

    Raises:
        ValueError: If a name has another form.
        FileNotFoundError: If there is no such repository or revision, or it can neither be reached nor is in the cache.
        PermissionError: If its owner has not given access.
        ModuleNotFoundError: If `huggingface_hub` is not installed.
    """
    if not is_name(value):
        return Path(value)
    name = HubName.of(value)
    below = f"{name.path}/" if name.path else ""
    return _fetched(name, [below + pattern for pattern in files]) / name.path


def file(value: str | os.PathLike[str], names: Sequence[str] = WEIGHTS, beside: Sequence[str] = ()) -> Path:
    """Return a file, fetched if a name of the hub is given.

    Args:
        value: A file, which is returned as it is, or a name of the hub; one whose path is a file means that one.
        names: Patterns of the file's name, the first that is there being fetched.
        beside: Patterns of files that are fetched into the same folder.

    Returns:
        The file.

    Raises:
        ValueError: If a name has another form.
        FileNotFoundError: If there is no such file, repository or revision, or it can neither be reached nor is in the
            cache.
        PermissionError: If its owner has not given access.
        ModuleNotFoundError: If `huggingface_hub` is not installed.
    """
    if not is_name(value):
        return Path(value)
    name = HubName.of(value)
    if name.path:
        above = name.path.rpartition("/")[0]
        named = _fetched(name, [name.path, *(f"{above}/{one}" if above else one for one in beside)]) / name.path
        if named.is_file():
            return named
    for pattern in names:
        found = sorted(path for path in folder(value, [pattern, *beside]).glob(pattern) if path.is_file())
        if found:
            return found[0]
    raise FileNotFoundError(f"{str(name)!r} must have a file named {' or '.join(map(repr, names))}, but has none.")


def takes_names(factory: Factory) -> Factory:
    """Mark a task factory that fetches what it needs itself, by `folder`: `load_task` hands names over as they are.

    Args:
        factory: Function from a folder, a name of the hub, or None to a `Task`.
    """
    vars(factory)["takes_hub_names"] = True
    return factory


def revisions() -> dict[str, str]:
    """Return the commits of all that this process has taken from the hub, by name, for the record of a run."""
    return dict(_revisions)


def _text(value: str | os.PathLike[str]) -> str:
    return value if isinstance(value, str) else os.fspath(value).replace(os.sep, "/")


def _fetched(name: HubName, patterns: list[str]) -> Path:
    """Return the folder of a repository's files in the cache."""
    try:
        import huggingface_hub
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"{str(name)!r} is a name of the Hugging Face hub, for which huggingface_hub is needed: "
            "pip install 'jaxaimc[hub]'.",
            name="huggingface_hub",
        ) from error
    try:
        found = huggingface_hub.snapshot_download(
            name.repo, repo_type=name.kind, revision=name.revision, allow_patterns=patterns
        )
    except Exception as error:  # errors of the client's HTTP library are of kinds that differ by its version
        _refuse(name, error)
    # The cache has a folder for each commit, named by it.
    _revisions[str(name)] = Path(found).name
    return Path(found)


def _refuse(name: HubName, error: Exception) -> NoReturn:
    """Say in one sentence why something could not be fetched."""
    from huggingface_hub import errors

    what = "data set" if name.kind == "dataset" else "model"
    page = f"https://huggingface.co/{'datasets/' if name.kind == 'dataset' else ''}{name.repo}"
    if isinstance(error, errors.GatedRepoError):
        raise PermissionError(
            f"Access to {str(name)!r} has to be granted by its owner: ask for it at {page}, log in by `hf auth login`, "
            "and run the same again."
        ) from error
    if isinstance(error, errors.RepositoryNotFoundError):
        raise FileNotFoundError(
            f"There is no {what} {name.repo!r} on the hub, or it is private and you are not logged in "
            "(`hf auth login`)."
        ) from error
    if isinstance(error, errors.RevisionNotFoundError):
        raise FileNotFoundError(f"The {what} {name.repo!r} of the hub has no revision {name.revision!r}.") from error
    if isinstance(error, errors.HFValidationError):
        raise ValueError(f"A name of the hub must have the form {_FORM}, but is {str(name)!r}: {error}.") from error
    reason = str(error).strip().partition("\n")[0] or type(error).__name__
    raise FileNotFoundError(
        f"{str(name)!r} is not in the cache as a whole and could not be fetched ({reason.rstrip('.')}); name a folder "
        "or a file on the disk in its place where there is no network."
    ) from error
