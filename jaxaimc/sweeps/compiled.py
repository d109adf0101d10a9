"""Thousands of designs in one compiled call.

A design is a config with other values in some of its leaves. Leaves are arguments of the compiled function, so that
all designs of one structure share it. Designs and chips are mapped over in groups that stay in the cache of a CPU or
fill an accelerator, and divided between devices.

A device computes `_AT_ONCE` evaluations in a call at most, and as many as are asked for: the number is no part of the
compiled function. What it finds for a design follows from that design alone, not from those beside it, how they are
divided into calls, or how many devices there are.
"""

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, PartitionSpec
from jaxtyping import Array, Float, Int, UInt32

from jaxaimc._core.checks import check_integer
from jaxaimc._core.groups import map_in_groups
from jaxaimc._core.invariant import with_invariants_first
from jaxaimc.config import AnalogConfig, with_at
from jaxaimc.sweeps.distributed import gathered
from jaxaimc.sweeps.measure import DesignWarning, Found, Measure, fingerprint
from jaxaimc.sweeps.values import Values, check_values

# Evaluations of a device in one call, at most.
_AT_ONCE = 4096


def evaluate_designs(
    measure: Measure,
    base: AnalogConfig,
    values: Values,
    chips: range | int,
    seed: int,
    *,
    devices: Sequence[Any] | None = None,
    quiet: bool = False,
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
        quiet: Whether to leave out the warnings of the measure's `notes`, where they follow for many calls together.

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
    measure = _ready(measure, base)
    names = tuple(measure.columns)
    devices = jax.devices() if devices is None else list(devices)
    found = _evaluated(measure, base, checked, numbers, seed, devices)
    if set(found) != set(names):
        raise ValueError(
            f"The measure {type(measure).__name__} must return the figures {', '.join(map(repr, names))}, but returns "
            f"{', '.join(map(repr, found))}."
        )
    finished = measure.finished({name: found[name] for name in names})
    for note in [] if quiet else measure.notes(finished):
        warnings.warn(f"{note[0].upper()}{note[1:]}.", DesignWarning, stacklevel=2)
    return finished


_measures: dict[Any, Measure] = {}
_MOST_MEASURES = 32


def _ready(measure: Measure, base: AnalogConfig) -> Measure:
    """Return the measure with these facts that this process made ready first for this structure.

    What is compiled for it is found again. A measure that was sent here has functions in it that are equal, but not the
    same.
    """
    key = fingerprint(measure), getattr(measure, "token", ""), jax.tree.structure(base)
    if key not in _measures:
        while len(_measures) >= _MOST_MEASURES:
            del _measures[next(iter(_measures))]
        _measures[key] = measure.ready(base)
    return _measures[key]


def _evaluated(
    measure: Measure,
    base: AnalogConfig,
    values: dict[str, np.ndarray],
    chips: range,
    seed: int,
    devices: Sequence[Any],
) -> Found:
    designs = max((len(array) for array in values.values()), default=1)
    parts = []
    for first in range(0, designs, _AT_ONCE):
        own = {path: array[first : first + _AT_ONCE] for path, array in values.items()}
        parts.append(_some(measure, base, own, min(_AT_ONCE, designs - first), chips, seed, devices))
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _some(
    measure: Measure,
    base: AnalogConfig,
    values: dict[str, np.ndarray],
    designs: int,
    chips: range,
    seed: int,
    devices: Sequence[Any],
) -> Found:
    """Return the figures of designs that fit into a call."""
    mesh = jax.make_mesh((len(devices),), ("device",), (AxisType.Auto,), devices=devices)
    # Chips share nothing that is worth keeping where memory is ample, or where there is one design of each.
    by_chip = bool(values) and devices[0].platform == "cpu"
    padded = {path: np.concatenate([own, np.repeat(own[-1:], _AT_ONCE - designs)]) for path, own in values.items()}
    evaluations, found = designs * len(chips), []
    for start in range(0, evaluations, _AT_ONCE * len(devices)):
        stop = min(start + _AT_ONCE * len(devices), evaluations)
        bounds = np.linspace(start, stop, len(devices) + 1).round().astype(np.int32)
        spans = np.stack([bounds[:-1], bounds[1:]], axis=1)
        given = (padded, np.int32(designs), np.int32(chips.start), np.uint32(seed))
        call = functools.partial(_call, mesh, by_chip, tuple(sorted(values)), spans, as_pytree(measure), base, *given)
        results = gathered(call)
        rows = {name: np.asarray(y).reshape(len(devices), -1) for name, y in results.items()}
        sizes = spans[:, 1] - spans[:, 0]
        found += [{name: y[device, :size] for name, y in rows.items()} for device, size in enumerate(sizes)]
    return {name: np.concatenate([part[name] for part in found]).reshape(len(chips), designs).T for name in found[0]}


@jax.tree_util.register_pytree_node_class
class _Static:
    """A measure that is no pytree: all of it is structure."""

    def __init__(self, measure: Measure):
        self.measure = measure

    def __call__(self, *arguments: Any) -> Any:
        return self.measure(*arguments)

    def tree_flatten(self) -> tuple[tuple[()], Measure]:
        return (), self.measure

    @classmethod
    def tree_unflatten(cls, measure: Measure, _: Any) -> "_Static":
        return cls(measure)


def as_pytree(measure: Measure) -> Any:
    """Return a measure as an argument of a compiled function: one that is no pytree as structure."""
    is_leaf = jax.tree_util.treedef_is_leaf(jax.tree.structure(measure))
    return _Static(measure) if is_leaf else measure


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _call(
    mesh: Mesh,
    by_chip: bool,
    paths: tuple[str, ...],
    spans: Int[Array, "device 2"],
    measure: Any,
    base: AnalogConfig,
    values: dict[str, Float[Array, " width"]],
    designs: Int[Array, ""],
    first_chip: Int[Array, ""],
    seed: UInt32[Array, ""],
) -> dict[str, Float[Array, " _"]]:
    """Return the figures of a span of evaluations on every device, chip by chip, in blocks of `_AT_ONCE`."""

    def of_device(
        spans: Array, measure: Any, base: Any, values: Any, designs: Array, first_chip: Array, seed: Array
    ) -> dict[str, Array]:
        start, stop = spans[0]

        def one(design: Array, chip: Array) -> dict[str, Array]:
            kind = jnp.result_type(float)
            config = with_at(base, {path: jnp.asarray(values[path][design], kind) for path in paths})
            # As `jaxaimc.tasks.chips.chip_keys` has them.
            families = jax.random.split(jax.random.key(seed), 2)
            chip_key, read_key = (jax.random.fold_in(family, first_chip + chip) for family in families)
            found = measure(config, chip_key, read_key)
            return {name: jnp.asarray(value, jnp.result_type(value, jnp.float32)) for name, value in found.items()}

        if by_chip:
            return _chip_by_chip(one, start, stop, designs)
        places = start + jnp.arange(_AT_ONCE)
        return map_in_groups(lambda place: one(place % designs, place // designs), places, count=stop - start)

    every, own = PartitionSpec(), PartitionSpec("device")
    divided = jax.shard_map(of_device, mesh=mesh, in_specs=(own, *[every] * 6), out_specs=own, check_vma=False)
    return divided(spans, measure, base, values, designs, first_chip, seed)


def _chip_by_chip(
    one: Callable[[Array, Array], dict[str, Array]], start: Array, stop: Array, designs: Array
) -> dict[str, Float[Array, " _"]]:
    """Return the figures of a span of evaluations, what designs share on a chip being computed once for it."""

    def of_chip(chip: Array) -> dict[str, Array]:
        first, last = (jnp.clip(bound - chip * designs, 0, designs) for bound in (start, stop))
        return map_in_groups(lambda design: one(design, chip), first + jnp.arange(_AT_ONCE), count=last - first)

    # Traced once; what chips share is computed before the first.
    of_chip = with_invariants_first(of_chip, jnp.zeros((), jnp.int32))
    shapes = jax.eval_shape(of_chip, jnp.zeros((), jnp.int32))
    # Room for what a chip's block has behind its own evaluations, over which the next chip's is written.
    results = jax.tree.map(lambda y: jnp.zeros((2 * _AT_ONCE,), y.dtype), shapes)

    def next_chip(chip: Array, results: dict[str, Array]) -> dict[str, Array]:
        place = jnp.maximum(chip * designs - start, 0)
        return jax.tree.map(
            lambda whole, block: jax.lax.dynamic_update_slice_in_dim(whole, block, place, 0), results, of_chip(chip)
        )

    return jax.lax.fori_loop(start // designs, (stop + designs - 1) // designs, next_chip, results)
