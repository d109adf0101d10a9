"""Thousands of designs in one compiled call.

A design is a config with other values in some of its leaves. Leaves are arguments of the compiled function, so that all
designs of one structure share it. Designs and chips are mapped over in groups that stay in the cache of a CPU or fill an
accelerator, and divided between devices.

A device computes `_AT_ONCE` evaluations in a call at most, and as many as are asked for: the number is no part of the
compiled function. What it finds for a design follows from that design alone, not from those beside it, how they are
divided into calls, or how many devices there are.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, PartitionSpec
from jaxtyping import Array, Float, Int

from jaxaimc._core.checks import Limits, check_integer, check_limits, shown
from jaxaimc._core.groups import group_size, map_in_groups
from jaxaimc.config import AnalogConfig, at, leaf_paths, with_at
from jaxaimc.sweeps.measure import DesignWarning, Found, Measure, fingerprint

# Evaluations of a device in one call, at most.
_AT_ONCE = 4096

Values = Mapping[str, Float[np.ndarray, " design"]]


def evaluate_designs(
    measure: Measure,
    base: AnalogConfig,
    values: Values,
    chips: range | int,
    seed: int,
    *,
    devices: Sequence[jax.Device] | None = None,
) -> Found:
    """Measure many designs of one structure, each on several chips.

    Args:
        measure: What is measured.
        base: The tile; its structure and whatever is not swept are those of all designs.
        values: Values of the swept leaves by path, such as `{"wires.r": [...]}`, one for each design; without any, the
            base is the only design.
        chips: Numbers of the chips, or how many from the first. A chip's keys follow from seed and number, as in
            `jaxaimc evaluate`: all designs have the same chips.
        seed: Seed of chips and reads.
        devices: Devices that share the work; all by default.

    Returns:
        Every figure of the measure, by name: rows for designs, columns for chips.

    Raises:
        ValueError: If a path leads to no continuous field with one number, a value is not allowed there or breaks a
            rule between fields, or an argument is out of range. Nothing has been computed then.

    Warns:
        DesignWarning: If figures are not finite, or not to be trusted, as the measure's `notes` say.

    Example:
        >>> from jaxaimc.sweeps import LayerError
        >>> w, x = jax.random.normal(jax.random.key(0), (16, 8)), jax.random.normal(jax.random.key(1), (4, 16))
        >>> found = evaluate_designs(LayerError.of(w, x), AnalogConfig(), {"wires.r": [0.1, 1.0, 10.0]}, 2, seed=0)
        >>> found["error"].shape
        (3, 2)
    """
    numbers = range(chips) if isinstance(chips, int) else chips
    check_integer("evaluate_designs", "chips", len(numbers), low=1)
    check_integer("evaluate_designs", "seed", seed, low=0, high=2**32 - 1)
    if numbers.step != 1 or numbers.start < 0:
        raise ValueError(f"Argument `chips` must be a number or a range of step one from zero on, but is {chips}.")
    checked = check_values(base, values)
    measure = _known(measure).ready(base)
    names = tuple(measure.columns)
    devices = jax.devices() if devices is None else list(devices)
    found = _evaluated(measure, base, checked, numbers, seed, devices)
    if set(found) != set(names):
        raise ValueError(
            f"The measure {type(measure).__name__} must return the figures {', '.join(map(repr, names))}, but returns "
            f"{', '.join(map(repr, found))}."
        )
    finished = measure.finished({name: found[name] for name in names})
    for note in measure.notes(finished):
        _warn(note)
    return finished


def _warn(note: str) -> None:
    import warnings

    warnings.warn(f"{note[0].upper()}{note[1:]}.", DesignWarning, stacklevel=3)


def check_values(base: AnalogConfig, values: Values) -> dict[str, Float[np.ndarray, " design"]]:
    """Refuse values that a config may not have.

    Args:
        base: The tile.
        values: Values of leaves by path, one for each design.

    Returns:
        The values, as arrays of one length.

    Raises:
        ValueError: If a path leads to no continuous field with one number, there are not as many values for each path,
            or one is not allowed.
    """
    base.validate()
    checked = {}
    for path, given in values.items():
        limits = _limits(base, path)
        array = np.asarray(given)
        if array.ndim != 1 or not array.size or array.dtype.kind not in "iuf":
            raise ValueError(
                f"Argument `values` must have one number for each design at {path!r}, but has {shown(given)}."
            )
        for value in array:
            check_limits("a design", path, float(value), limits)
        checked[path] = array.astype(np.float64)
    sizes = {len(array) for array in checked.values()}
    if len(sizes) > 1:
        each = ", ".join(f"{len(array)} at {path!r}" for path, array in checked.items())
        raise ValueError(f"Argument `values` must have as many values at every path, but has {each}.")
    for index in range(max(sizes, default=0)):
        # Rules between fields; fields themselves are allowed, as is what did not change.
        with_at(base, {path: float(array[index]) for path, array in checked.items()}).validate()
    return checked


def _limits(base: AnalogConfig, path: str) -> Limits:
    """Return what is allowed at a path.

    Raises:
        ValueError: If it leads to no continuous field with one number.
    """
    value, marker = at(base, path), np.float64(1.0)
    try:
        marked = leaf_paths(with_at(base, {path: marker}))
        limits = next((limits for found, limits in marked.values() if found is marker), None)
    except ValueError:  # a structural field does not take the number
        limits = None
    if limits is None or isinstance(value, (tuple, list)) or np.ndim(value):
        raise ValueError(
            f"Argument `values` must have paths of continuous fields with one number, but {path!r} is {shown(value)}; "
            f"there are {', '.join(sorted(leaf_paths(base)))}."
        )
    return limits


_measures: dict[tuple[str, str], Measure] = {}


def _known(measure: Measure) -> Measure:
    """Return the measure with these facts that this process has seen first: what is compiled for it is found again.

    A measure that was sent here has functions in it that are equal, but not the same.
    """
    return _measures.setdefault((fingerprint(measure), getattr(measure, "token", "")), measure)


def _evaluated(
    measure: Measure,
    base: AnalogConfig,
    values: dict[str, np.ndarray],
    chips: range,
    seed: int,
    devices: Sequence[jax.Device],
) -> Found:
    designs = max((len(array) for array in values.values()), default=1)
    mesh = jax.make_mesh((len(devices),), ("device",), (AxisType.Auto,), devices=devices)
    traced = measure if not jax.tree_util.treedef_is_leaf(jax.tree.structure(measure)) else _Static(measure)
    group = _group(traced, base, tuple(values))
    width = _AT_ONCE
    padded = {path: np.resize(array[:width], width) for path, array in values.items()}
    found: dict[str, list[np.ndarray]] = {}
    for first in range(0, designs, width):
        own = {path: array[first : first + width] for path, array in values.items()}
        count = len(next(iter(own.values()))) if own else 1
        padded = {path: np.concatenate([array, np.repeat(array[-1:], width - count)]) for path, array in own.items()}
        rows = []
        total = count * len(chips)
        share = width * len(devices)
        for start in range(0, total, share):
            stop = min(start + share, total)
            bounds = np.round(np.linspace(start, stop, len(devices) + 1)).astype(np.int32)
            spans = np.stack([bounds[:-1], bounds[1:]], axis=1)
            given = (spans, traced, base, padded, np.uint32(seed), np.int32(chips.start), np.int32(count))
            results = _call(mesh, group, tuple(values), *given)
            rows.append(
                {
                    name: np.concatenate(
                        [
                            part[: b - a]
                            for part, (a, b) in zip(np.asarray(y).reshape(len(devices), -1), spans, strict=True)
                        ]
                    )
                    for name, y in results.items()
                }
            )
        for name in rows[0]:
            whole = np.concatenate([row[name] for row in rows]).reshape(len(chips), count).T
            found.setdefault(name, []).append(whole)
    return {name: np.concatenate(parts) for name, parts in found.items()}


class _Static:
    """A measure that is no pytree, as one without arrays."""

    def __init__(self, measure: Measure):
        self.measure = measure

    def __call__(self, *arguments: Any) -> Any:
        return self.measure(*arguments)


jax.tree_util.register_pytree_node(_Static, lambda one: ((), one.measure), lambda measure, _: _Static(measure))


def _group(measure: Any, base: AnalogConfig, paths: tuple[str, ...]) -> int:
    return group_size(
        functools.partial(_one, paths=paths), measure, base, [0.0] * len(paths), np.uint32(0), np.int32(0)
    )


def _one(measure: Any, base: AnalogConfig, numbers: Any, seed: Any, chip: Any, paths: tuple[str, ...]) -> Any:
    """Return the figures of one design on one chip."""
    kind = jnp.result_type(float)
    config = with_at(base, {path: jnp.asarray(value, kind) for path, value in zip(paths, numbers, strict=True)})
    families = jax.random.split(jax.random.key(seed), 2)
    keys = (jax.random.fold_in(family, chip) for family in families)
    return {
        name: jnp.asarray(value, jnp.result_type(value, jnp.float32)) for name, value in measure(config, *keys).items()
    }


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _call(
    mesh: Mesh,
    group: int,
    paths: tuple[str, ...],
    spans: Int[Array, "device 2"],
    measure: Any,
    base: AnalogConfig,
    values: dict[str, Array],
    seed: Array,
    first_chip: Array,
    designs: Array,
) -> dict[str, Array]:
    """Return the figures of a span of evaluations on every device, chip by chip, in blocks of `_AT_ONCE`."""

    def of_device(spans: Array, measure: Any, base: Any, values: Any, seed: Any, first_chip: Any, designs: Any) -> Any:
        start, stop = spans[0]

        def one(place: Array) -> dict[str, Array]:
            numbers = [values[path][place % designs] for path in paths]
            return _one(measure, base, numbers, seed, first_chip + place // designs, paths)

        return map_in_groups(one, start + jnp.arange(_AT_ONCE), group=group, count=stop - start)

    every, own = PartitionSpec(), PartitionSpec("device")
    specs = (own, *[every] * 6)
    divided = jax.shard_map(of_device, mesh=mesh, in_specs=specs, out_specs=own, check_vma=False)
    return divided(spans, measure, base, values, seed, first_chip, designs)
