"""The unit of work that executors run: a measure and a chunk in, rows out."""

import pickle
from functools import lru_cache

import numpy as np
import polars as pl

from jaxaimc.sweeps.compiled import evaluate_designs
from jaxaimc.sweeps.measure import Measure
from jaxaimc.sweeps.plan import Chunk


def compute(measure: Measure, chunk: Chunk) -> pl.DataFrame:
    """Measure the designs of a chunk on its chips.

    Args:
        measure: What is measured.
        chunk: The designs.

    Returns:
        One row per design and chip, chips last: the swept paths, `chip`, and the measure's columns.
    """
    # Warnings follow for all chunks together.
    found = evaluate_designs(measure, chunk.base, chunk.values, chunk.chips, chunk.seed, quiet=True)
    columns = {name: np.asarray(found[name], np.float64).ravel() for name in measure.columns}
    return chunk.rows().with_columns(pl.Series(name, column) for name, column in columns.items())


def compute_packed(payload: bytes, chunk: Chunk) -> pl.DataFrame:
    """Do the same with a pickled measure, which every process unpickles once.

    Args:
        payload: Result of `packed`.
        chunk: The designs.
    """
    return compute(_unpacked(payload), chunk)


def packed(measure: Measure) -> bytes:
    """Return a measure as bytes, functions of a user's own script included where `cloudpickle` is installed.

    Args:
        measure: The measure.

    Raises:
        TypeError: If it cannot be pickled.
    """
    try:
        import cloudpickle as pickler
    except ImportError:
        pickler = pickle
    try:
        return pickler.dumps(measure)
    except (pickle.PicklingError, TypeError, AttributeError) as error:
        raise TypeError(
            f"Argument `measure` must be one that can be sent to another process, but this {type(measure).__name__} "
            f"cannot be pickled: {error}."
        ) from error


@lru_cache(maxsize=8)
def _unpacked(payload: bytes) -> Measure:
    return pickle.loads(payload)
