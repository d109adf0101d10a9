"""Files of conductances, one array per layer: `.npz`, `.safetensors` and `.csv`, each of which says its unit.

A CSV file has one line per device, `layer,tile_row,tile_col,slice,polarity,row,col,g_S`; the last column may be `g_mS`,
`g_uS` or `g_nS` as well. Of a map of faults it holds the devices that are stuck, and no others.
"""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from jaxaimc._core.csv_files import read_rows
from jaxaimc._core.files import replacing

_UNITS = {"S": 1.0, "mS": 1e-3, "uS": 1e-6, "nS": 1e-9}
_AXES = ("tile_row", "tile_col", "slice", "polarity", "row", "col")
_SUFFIXES = (".npz", ".safetensors", ".csv")
_KEY = "jaxaimc.conductances"


def write_conductances(path: str | Path, arrays: Mapping[str, Any]) -> None:
    """Write conductances, or a map of faults, in the format that the file's name ends in.

    Args:
        path: File that ends in `.npz`, `.safetensors` or `.csv`; replaced as a whole.
        arrays: Conductances [S] by layer path, in the layout of `conductances`. NaN is a device of which nothing is
            said.

    Raises:
        ValueError: If the name ends in something else, or a CSV file is asked for an array that has not six axes.
    """
    path = _known(path)
    found = {name: np.asarray(array) for name, array in arrays.items()}
    with replacing(path) as unfinished:
        if path.suffix == ".csv":
            _write_csv(unfinished, found)
        elif path.suffix == ".npz":
            # Names as a list, since a layer may be named like an argument of the function.
            named: dict[str, Any] = {f"layer{index}": array for index, array in enumerate(found.values())}
            with unfinished.open("wb") as file:
                np.savez(file, unit=np.array("S"), layers=np.array(json.dumps(list(found))), **named)
        else:
            texts = {_KEY: json.dumps({"unit": "S", "layers": list(found)})}
            named = {f"layer{index}": np.ascontiguousarray(array) for index, array in enumerate(found.values())}
            unfinished.write_bytes(safetensors.numpy.save(named, metadata=texts))


def read_conductances(path: str | Path, shapes: Mapping[str, Sequence[int]] | None = None) -> dict[str, np.ndarray]:
    """Read conductances, or a map of faults.

    Args:
        path: File that ends in `.npz`, `.safetensors` or `.csv`.
        shapes: Shape of every layer's devices by path, for a CSV file that does not hold all of them, such as a map of
            faults: what it does not hold is NaN. Without them every device must be there, once.

    Returns:
        Conductances [S] by layer path.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If the file is of another kind, says no unit or another than S, mS, uS or nS, has a device twice,
            lacks one, or has one beyond the shapes.
    """
    path = _known(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no file of conductances {str(path)!r}.")
    if path.suffix == ".csv":
        return _read_csv(path, shapes)
    read = _read_npz if path.suffix == ".npz" else _read_safetensors
    try:
        unit, layers, arrays = read(path)
    except (KeyError, ValueError, OSError, safetensors.SafetensorError) as error:
        raise ValueError(
            f"File {str(path)!r} must be one that `write_conductances` writes, with a unit and the names of layers, "
            f"but is not: {error}."
        ) from error
    if unit not in _UNITS:
        raise ValueError(f"File {str(path)!r} must have the unit {', '.join(_UNITS)}, but has {unit!r}.")
    factor = _UNITS[unit]
    return dict(zip(layers, (one if factor == 1 else one * one.dtype.type(factor) for one in arrays), strict=True))


def _known(path: str | Path) -> Path:
    path = Path(path)
    if path.suffix not in _SUFFIXES:
        raise ValueError(f"Argument `path` must end in {', '.join(_SUFFIXES)}, but is {str(path)!r}.")
    return path


def _read_npz(path: Path) -> tuple[str, list[str], list[np.ndarray]]:
    with np.load(path, allow_pickle=False) as file:
        layers = json.loads(str(file["layers"]))
        return str(file["unit"]), layers, [file[f"layer{index}"] for index in range(len(layers))]


def _read_safetensors(path: Path) -> tuple[str, list[str], list[np.ndarray]]:
    with safetensors.safe_open(path, framework="numpy") as file:
        said = json.loads((file.metadata() or {})[_KEY])
        return said["unit"], said["layers"], [file.get_tensor(f"layer{i}") for i in range(len(said["layers"]))]


def _write_csv(path: Path, arrays: dict[str, np.ndarray]) -> None:
    for name, array in arrays.items():
        if array.ndim != len(_AXES):
            raise ValueError(
                f"A CSV file needs arrays of the axes ({', '.join(_AXES)}), but layer {name!r} has shape "
                f"{array.shape}; `.npz` and `.safetensors` hold stacks of layers as well."
            )
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["layer", *_AXES, "g_S"])
        for name, array in arrays.items():
            for index in np.argwhere(~np.isnan(array)).tolist():
                # Python writes a double so that it is read back as it was, and singles are doubles.
                writer.writerow([name, *index, repr(float(array[tuple(index)]))])


def _read_csv(path: Path, shapes: Mapping[str, Sequence[int]] | None) -> dict[str, np.ndarray]:
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        header = [name.strip() for name in file.readline().strip().split(",")]
    units = [name for name in header if name.startswith("g_") and name[2:] in _UNITS]
    if len(units) != 1:
        allowed = ", ".join(f"g_{unit}" for unit in _UNITS)
        raise ValueError(f"File {str(path)!r} must have one column of conductances, {allowed}, but has {header}.")
    column = units[0]
    found: dict[str, dict[tuple[int, ...], float]] = {name: {} for name in shapes or {}}
    for line, row in read_rows(path, "File", ["layer", *_AXES, column]):
        where = f"File {str(path)!r}, line {line}"
        try:
            index, value = tuple(int(row[axis]) for axis in _AXES), float(row[column]) * _UNITS[column[2:]]
        except ValueError as error:
            raise ValueError(f"{where}: positions must be whole numbers and {column} a number: {error}.") from error
        devices = found.setdefault(row["layer"], {})
        if index in devices or min(index) < 0:
            raise ValueError(f"{where}: a device must stand there once, at positions of 0 or greater, but is {index}.")
        if shapes is not None and not _within(index, shapes.get(row["layer"])):
            raise ValueError(f"{where}: the chip has no device {index} of layer {row['layer']!r}.")
        devices[index] = value
    return {name: _filled(path, name, devices, (shapes or {}).get(name)) for name, devices in found.items()}


def _within(index: tuple[int, ...], shape: Sequence[int] | None) -> bool:
    return shape is not None and len(shape) == len(index) and all(i < n for i, n in zip(index, shape, strict=True))


def _filled(path: Path, name: str, devices: dict[tuple[int, ...], float], shape: Sequence[int] | None) -> np.ndarray:
    complete = shape is None
    shape = tuple(max(axis) + 1 for axis in zip(*devices, strict=True)) if shape is None else tuple(shape)
    array = np.full(shape, np.nan, np.float32)
    if devices:
        array[tuple(np.array(list(devices)).T)] = np.array(list(devices.values()), np.float64)
    if complete and np.isnan(array).any():
        first = tuple(int(i) for i in np.argwhere(np.isnan(array))[0])
        raise ValueError(
            f"File {str(path)!r} must have every device of layer {name!r} up to the last, but lacks {first}; of a file "
            "with some devices only, such as a map of faults, give the `shapes`."
        )
    return array
