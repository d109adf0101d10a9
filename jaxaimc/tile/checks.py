"""Whether a chip belongs to the configuration that it is read with."""

from typing import Any

from jaxtyping import Array, Float, Key

from jaxaimc._core.arguments import as_real, check_key, check_trailing
from jaxaimc._core.checks import shown
from jaxaimc.config.analog import AnalogConfig
from jaxaimc.tile.conversion import even_share
from jaxaimc.tile.state import Prepared, Programmed, tile_grid


def check_programmed(config: AnalogConfig, programmed: Any) -> None:
    """Check that devices are those of a configuration's cells and tiles.

    Args:
        config: The tile.
        programmed: What was passed as programmed devices.

    Raises:
        ValueError: If it is something else, or programmed with other cells or tiles, whose conductances would be taken
            for others.
    """
    _check_kind("programmed", programmed, Programmed, "jaxaimc.program(config, w, key)")
    n_in, n_out, groups = programmed.n_in, programmed.n_out, programmed.groups
    cells = (len(config.cell.significance), len(config.cell.signs))
    block = (even_share(n_in // groups, config.rows), even_share(n_out // groups, config.cols))
    wanted = (*tile_grid(config, n_in, n_out, groups), *cells, *block)
    _check_shape(config, "programmed", programmed.g.shape, wanted)


def check_prepared(config: AnalogConfig, prepared: Any) -> None:
    """Check that a prepared matrix is one of a configuration's cells and tiles.

    Args:
        config: The tile.
        prepared: What was passed as a prepared matrix.

    Raises:
        ValueError: If it is something else, such as devices that were not prepared, or of other cells or tiles, whose
            outputs would be wrong.
    """
    _check_kind("prepared", prepared, Prepared, "jaxaimc.prepare(config, programmed)")
    groups = prepared.groups
    rows = even_share(prepared.n_in // groups, config.rows)
    tile_rows, _ = tile_grid(config, prepared.n_in, prepared.n_out, groups)
    wanted = (tile_rows, rows, len(config.cell.significance), prepared.n_out // groups)
    _check_shape(config, "prepared", prepared.matrix.shape, wanted)


def checked_read(
    config: AnalogConfig, prepared: Any, x: Any, key: Key[Array, "*keys"] | None, *, places: int = 1, name: str = "x"
) -> Float[Array, "*batch n_in"]:
    """Check what a prepared matrix is read with.

    Args:
        config: The tile.
        prepared: What was passed as a prepared matrix.
        x: What was passed as input vectors.
        key: Read key, one or one per vector, or None.
        places: Places of a window, under each of which lie as many of the matrix's rows as `x` has channels.
        name: Name of the argument.

    Returns:
        The input vectors, in floating point.

    Raises:
        ValueError: If a field of `config` is out of range, `prepared` has the cells or tiles of another configuration,
            `x` holds no real numbers or its last axis is not the matrix's rows, or `key` is no typed key.
    """
    config.validate()
    check_prepared(config, prepared)
    x = as_real(name, x)
    if prepared.n_in % places:
        raise ValueError(
            f"Argument `prepared` must have as many rows for each of the {places} places of the window, but has "
            f"{prepared.n_in} in all."
        )
    check_trailing(name, x, prepared.n_in // places, "n_in" if places == 1 else "channel")
    if key is not None:
        check_key("key", key, batched=True)
    return x


def _check_kind(name: str, value: Any, kind: type, source: str) -> None:
    if not isinstance(value, kind):
        given = f"a {type(value).__name__}" if isinstance(value, (Programmed, Prepared)) else shown(value)
        raise ValueError(f"Argument `{name}` must be the result of `{source}`, but is {given}.")


def _check_shape(config: AnalogConfig, name: str, shape: tuple[Any, ...], wanted: tuple[int, ...]) -> None:
    if tuple(shape) != wanted:
        raise ValueError(
            f"Argument `{name}` has arrays of shape {tuple(shape)}, but those of `config` with cells "
            f"{type(config.cell).__name__} on tiles of {config.rows} x {config.cols} have {wanted}: a chip is read "
            "with the cells and tiles that it was programmed with; program it anew to change them."
        )
