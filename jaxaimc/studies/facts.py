"""All that the results of a study follow from."""

import dataclasses
import hashlib
import re
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxaimc.config.by_rule import Configs, content_of
from jaxaimc.studies.scenarios import Settings
from jaxaimc.studies.store import fingerprint
from jaxaimc.tasks import Task, weights

# Of the layout of a results folder.
_FORMAT = 2


def describe(
    task: Task, config: Configs, settings: Settings, *, task_path: str, checkpoint: Path | None, model: Any = None
) -> dict[str, Any]:
    """Collect all that the results of an evaluation follow from.

    Args:
        task: Network, data and metric.
        config: The tile, or configs by rule.
        settings: How much is evaluated.
        task_path: Import path of the task.
        checkpoint: File of the weights; None for the task's own.
        model: The network; needed where it was trained before and so has no file here.

    Returns:
        JSON values: paths by name, files and data by their SHA-256.

    Raises:
        FileNotFoundError: If the data are missing.
    """
    file = checkpoint or task.default_checkpoint
    test = task.split("test")
    how_much = dataclasses.asdict(settings)
    del how_much["batch"]  # results do not depend on it, so a run that lacked memory goes on with a smaller one
    return {
        "format": _FORMAT,
        "task": task_path,
        "data": _digest(np.ascontiguousarray(test.inputs).tobytes(), np.ascontiguousarray(test.targets).tobytes()),
        "checkpoint": _digest_of_model(model) if file is None else _digest(file.read_bytes()),
        "config": content_of(config),
        "settings": how_much,
        "version": version("jaxaimc"),
    }


def folder_name(task: Task, facts: Mapping[str, Any]) -> str:
    """Return `<task>-<fingerprint>`, the name of a results folder."""
    return f"{re.sub(r'[^A-Za-z0-9_.-]+', '_', task.name)}-{fingerprint(facts)}"


def _digest_of_model(model: Any) -> str | None:
    if model is None:
        return None
    return _digest(*(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(weights(model))))


def _digest(*parts: bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()
