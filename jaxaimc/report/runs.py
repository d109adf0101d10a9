"""One run that is reported: its tables, and what its record says of them. A file for each kind of run reads it."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jaxaimc.config.by_rule import is_by_rule
from jaxaimc.report import acting
from jaxaimc.report.dataset import Dataset, Kind, ReportError
from jaxaimc.report.reading import SUFFIXES, read_record

# The tables by which a folder is known.
_TABLES: dict[str, Kind] = {
    "sweep.parquet": "sweep",
    "sensitivity.parquet": "sensitivity",
    "scores.parquet": "evaluation",
    "history.parquet": "design",
}
KNOWN = (
    "the folder of a jaxaimc evaluate, sensitivity, design or sweep "
    "(scores.parquet, sensitivity.parquet, history.parquet or sweep.parquet), or a .parquet or .csv file"
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """A run and its results.

    Attributes:
        name: What it is called, unique in a report.
        kind: What kind of run it is.
        path: Its folder or file.
        datasets: Its tables.
        figures: What it found in a few numbers: name and value as texts.
        missing: What is not there, such as the rest of an unfinished run; a sentence each.
        ground: What the numbers rest on: headings with their sentences.
        folded: Texts to be shown on demand, such as the exact configuration.
    """

    name: str
    kind: Kind
    path: Path
    datasets: tuple[Dataset, ...]
    figures: tuple[tuple[str, str], ...] = ()
    missing: tuple[str, ...] = ()
    ground: Mapping[str, Sequence[str]] = dataclasses.field(default_factory=dict)
    folded: Mapping[str, str] = dataclasses.field(default_factory=dict)


def kind_of(path: Path) -> Kind:
    """Return what kind of run a folder or file holds.

    Raises:
        ReportError: If there is none, or a folder holds more than one.
    """
    if path.is_file():
        if path.suffix in SUFFIXES:
            return "table"
        raise ReportError(f"Argument `folders` must name {KNOWN}, but {str(path)!r} is a file of another kind.")
    if not path.exists():
        raise ReportError(f"Argument `folders` must name {KNOWN}, but there is no {str(path)!r}.")
    found: dict[str, Kind] = {name: kind for name, kind in _TABLES.items() if (path / name).exists()}
    if "sensitivity.parquet" in found:  # its scores are those of its scenarios
        found.pop("scores.parquet", None)
    facts = read_record(path).get("facts", {})
    recorded = facts.get("kind")
    if recorded is not None and recorded not in (*found.values(), "sweep"):
        raise ReportError(
            f"Folder {str(path)!r} has the record of a {recorded!r}, but no table of one; it holds {_listed(path)}."
        )
    if recorded == "sweep":
        found.setdefault("run.json", "sweep")
    kinds: dict[Kind, None] = dict.fromkeys(found.values())
    if len(kinds) > 1:
        listed = ", ".join(f"{name} (of {_article(kind)})" for name, kind in found.items())
        raise ReportError(f"Folder {str(path)!r} must hold the results of one run, but holds {listed}.")
    if not kinds and facts:
        raise ReportError(
            f"Folder {str(path)!r} has the record of a run, but none of its results is finished; it holds "
            f"{_listed(path)}."
        )
    if not kinds:
        raise ReportError(f"Argument `folders` must name {KNOWN}, but {str(path)!r} holds {_listed(path)}.")
    return next(iter(kinds))


def names_of(paths: Sequence[Path]) -> list[str]:
    """Return the shortest ends of paths that tell them apart.

    Args:
        paths: Folders and files.

    Raises:
        ReportError: If one is given twice.

    Example:
        >>> names_of([Path("a/run"), Path("b/run"), Path("b/other")])
        ['a/run', 'b/run', 'other']
    """
    whole = [path.resolve() for path in paths]
    for place, path in enumerate(whole):
        if path in whole[:place]:
            raise ReportError(f"Argument `folders` must name each run once, but names {str(paths[place])!r} twice.")
    found = []
    for path in whole:
        parts = 1
        while sum(other.parts[-parts:] == path.parts[-parts:] for other in whole) > 1:
            parts += 1
        found.append("/".join(path.parts[-parts:]))
    return found


def folded(path: Path, record: Mapping[str, Any], config: Any, title: str = "Configuration") -> dict[str, str]:
    """Return the exact configuration, what the results follow from, and the command's settings, as texts.

    Args:
        path: Folder of the run.
        record: Content of `run.json`.
        config: The config as JSON values; None where there is none.
        title: What to call the config.
    """
    facts = {name: value for name, value in record.get("facts", {}).items() if name not in ("config", "base", "kind")}
    found = {title: _json(config)} if config is not None else {}
    if facts:
        found["Settings, data and weights"] = _json(facts)
    settings = path / "settings.json"
    if settings.is_file():
        found["Settings file that repeats the run"] = settings.read_text(encoding="utf-8")
    return found


def origin(record: Mapping[str, Any]) -> list[str]:
    """Say by which command a run was started, when, and with which versions."""
    versions = record.get("versions", {})
    command = [str(word) for word in record.get("command", [])]
    return [
        *([f"Command: {' '.join(command)}"] if command else ["The command is not in the record."]),
        *(f"{name.capitalize()}: {record[name]}" for name in ("started", "finished") if name in record),
        *([f"Versions: {', '.join(f'{name} {version}' for name, version in versions.items())}"] if versions else []),
    ]


def circuit_ground(config: Any) -> dict[str, list[str]]:
    """Return what acted, what was assumed and what was not simulated, from a config file's content.

    Args:
        config: As in a config file, `schema` and `config`, or such by rule; None where the record has none.
    """
    if is_by_rule(config):
        first = next((rule for rule, part in config.items() if part is not None), None)
        found = circuit_ground(None if first is None else config[first])
        which = f"Parts and values are those for the layers {first}, the first of {len(config)} rules."
        found.setdefault("What was assumed", []).append(which)
        return found
    inner = config.get("config") if isinstance(config, Mapping) else None
    if not isinstance(inner, Mapping):
        return {"What acted": ["The record has no configuration, so what acted is not known."]}
    acts, assumed, left = acting.circuit(inner)
    return {"What acted": acts, "What was assumed": assumed, "What was not simulated": left}


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _listed(path: Path) -> str:
    entries = sorted(entry.name for entry in path.iterdir() if not entry.name.startswith("."))
    more = f" and {len(entries) - 5} more" if len(entries) > 5 else ""
    return (", ".join(entries[:5]) or "nothing") + more


def _article(kind: str) -> str:
    return f"an {kind}" if kind[0] in "aeiou" else f"a {kind}"
