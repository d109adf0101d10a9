"""What commands that measure write beside their results, and how they speak."""

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from jaxaimc._core.files import replacing
from jaxaimc.tasks import hub

if TYPE_CHECKING:
    from jaxaimc import nn


def notes_of(
    chip: "nn.Summary",
    wire_errors: dict[str, float] | None = None,
    cost: "nn.NetworkCost | None" = None,
    metric: str | None = None,
    chance: float | None = None,
) -> dict[str, Any]:
    """Return what `run.json` says beside the facts: what the network takes of a chip, and what came from the hub.

    Args:
        chip: Made with one example as inputs.
        wire_errors: Error of the wires' method over their effect, by layer [1].
        cost: What an inference costs.
        metric: Name of what scores are.
        chance: Score of guessing.

    Returns:
        JSON values; `hub` has the commit of each of the hub's names, and is absent where there is none.
    """
    revisions = hub.revisions()
    return {
        "products": [row._asdict() for row in chip.rows],
        "analog_products": chip.analog,
        "digital_products": chip.digital,
        "tiles": chip.tiles,
        "utilisation": chip.utilisation,
        "devices": chip.devices,
        "conversions_per_example": chip.conversions_per_call,
        **({"error_of_wires_method": wire_errors} if wire_errors else {}),
        **({"cost": cost.facts()} if cost else {}),
        **({"metric": metric} if metric is not None else {}),
        **({"chance": chance} if chance is not None else {}),
        **({"hub": revisions} if revisions else {}),
    }


def write_record(folder: Path, kind: str, notes: dict[str, Any]) -> None:
    """Write `run.json` of a command that keeps no chunks: how it was started, when, and with which versions.

    Args:
        folder: Its results folder.
        kind: What kind of results there are.
        notes: Further JSON values.

    Raises:
        OSError: If the disk refuses.
    """
    from jaxaimc.studies.chunks import versions

    content = {
        "facts": {"kind": kind},
        "command": ["jaxaimc", *sys.argv[1:]],
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": versions(),
        **notes,
    }
    with replacing(folder / "run.json") as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def say(console: Console, line: str) -> None:
    """Print a line as it is: brackets in a path or a name are no markup.

    Args:
        console: Where to.
        line: The line.
    """
    console.print(line, markup=False, soft_wrap=True, highlight=False)
