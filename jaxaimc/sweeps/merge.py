"""One table of the copies of a sweep's folder that its shards have filled, each on a machine of its own."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from jaxaimc._core.checks import shown
from jaxaimc.config import loads
from jaxaimc.studies.chunks import Facts, ResultsError, fingerprint, recorded_facts, write
from jaxaimc.sweeps.folder import SweepFolder
from jaxaimc.sweeps.measure import Measure
from jaxaimc.sweeps.plan import Plan
from jaxaimc.sweeps.plan_files import axis_of


def merge(folders: Sequence[str | Path], into: str | Path) -> pl.DataFrame:
    """Copy the chunks of several folders of one sweep into one, and make its table.

    Where machines share a disk this is not needed: all shards run into one folder.

    Args:
        folders: Folders of the same plan and measure; they stay as they are.
        into: Folder of the whole; made if needed. It may be one that the sweep has run in.

    Returns:
        The table, as `run` returns it, of all that there is.

    Raises:
        ResultsError: If a folder holds no sweep, or another one than the first.
        ConfigFileError: If the sweep has components of your own whose module is not imported.
        OSError: If the disk refuses.

    Warns:
        DamagedChunkWarning: If a chunk is damaged; it is left out.
    """
    if isinstance(folders, (str, Path)) or not folders:
        raise ValueError(f"Argument `folders` must be paths, at least one, but is {shown(folders)}.")
    records = {Path(folder): _facts(Path(folder)) for folder in folders}
    first, facts = next(iter(records.items()))
    for folder, other in records.items():
        if fingerprint(other) != fingerprint(facts):
            raise ResultsError(f"Folder {str(folder)!r} holds another sweep than {str(first)!r}: see their run.json.")
    command = json.loads((first / "run.json").read_text(encoding="utf-8")).get("command", [])
    whole = SweepFolder(into, *_recorded(facts), command)
    for folder in records:
        for path in sorted((folder / "chunks").glob("*-*.parquet")):
            if not (target := whole.path / "chunks" / path.name).exists():
                write(target, path.read_bytes())
    whole.close()
    return whole.table()


class _Recorded(Measure):
    """What the record says of a measure."""

    def __init__(self, columns: Mapping[str, str], facts: Any):
        self._columns, self._facts = dict(columns), facts

    @property
    def columns(self) -> dict[str, str]:
        return self._columns

    def facts(self) -> dict[str, Any]:
        return self._facts

    def __call__(self, config: Any, key_chip: Any, key_read: Any) -> Any:
        raise NotImplementedError("a record cannot measure anything")


def _facts(folder: Path) -> Facts:
    record = folder / "run.json"
    if not record.is_file():
        raise ResultsError(f"Folder {str(folder)!r} holds no sweep: it has no run.json.")
    facts = recorded_facts(record)
    if facts.get("kind") != "sweep":
        raise ResultsError(f"Folder {str(folder)!r} holds no sweep, but other results: see its run.json.")
    return facts


def _recorded(facts: Facts) -> tuple[Plan, Any]:
    """Return the plan of a record, and what it says of its measures."""
    base = loads(json.dumps(facts["base"]))
    plan = Plan(base, [axis_of(axis) for axis in facts["axes"]], chips=facts["chips"], seed=facts["seed"])
    measures = {name: _Recorded(facts["columns"][name], stated) for name, stated in facts["measures"].items()}
    return plan, measures.get("", measures)
