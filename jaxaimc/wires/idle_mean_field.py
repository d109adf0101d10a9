"""Columns with open idle cells, as a few matrices: the load of the rows is their mean over data.

In each stretch of time the wire is loaded with the conductances times the mean share of the stretch for which their
rows are connected, the *profile* of the rows' activity. That makes the tile linear: one effective matrix for each
stretch. Where a vector's rows are more, or less, active than the profile, matrices for several activities are
interpolated in the ratio of the two.

Measured against the exact charge over the effect of the wires, 512 rows, normal and rectified inputs, 0.15 to 20 ohm a
segment: 0.03 to 0.12 with four stretches, 0.01 to 0.06 with eight of three activities each.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxaimc._core.component import component, static
from jaxaimc._core.xla import later_zero, product, short_product, shortened
from jaxaimc.wires.base import Circuit, in_one_precision
from jaxaimc.wires.carry import carried
from jaxaimc.wires.columns import Columns, shares
from jaxaimc.wires.mean_load import forward_mean_load_shares, mean_load_shares
from jaxaimc.wires.timing import Alignment, Left


def mean_shares(
    columns: Columns, profile: Float[Array, "*stretch rows"], *, reverse_only: bool = False
) -> Float[Array, "*stretch rows cols"]:
    """Return which share of each cell's current reaches its output while the rows load the wire as on average.

    Args:
        columns: The columns.
        profile: Mean share of each stretch of time for which a row is connected [1].
        reverse_only: Whether derivatives are by reverse mode alone, which takes a fraction of the time then.
    """
    at_first = jnp.asarray(np.resize(columns.at_first, columns.count))
    second = jnp.asarray(np.arange(columns.count) % len(columns.groups) == 1)
    ends = [jnp.broadcast_to(group.r_end, group.load.shape[1:]) for group in columns.groups]
    # All stretches and groups in one ladder, rows first: its scans run over rows.
    load = _far_first(columns.matrix([group.load for group in columns.groups]), at_first)
    active = jnp.stack(columns.far_first(profile.reshape(-1, profile.shape[-1])), axis=1).T
    given = (load, active, columns.r, columns.in_order(ends))
    load, active, r, r_end = (carried(value, given) for value in given)
    share = (mean_load_shares if reverse_only else forward_mean_load_shares)(load, active, second, r, r_end)
    return jnp.moveaxis(_far_first(share, at_first), 0, 1).reshape(*profile.shape, columns.count)


def _far_first(x: Float[Array, "rows *stretch cols"], flipped: Bool[Array, " cols"]) -> Array:
    """Reverse the columns that are read at the first row's end, so that the far end comes first; or put them back."""
    return jnp.where(flipped, x[::-1], x)


@component
class MeanFieldColumns(Circuit):
    """Columns whose idle cells are disconnected, as matrices of their mean load.

    Attributes:
        drive: Conductance with which an active cell drives its wire, signs included [S].
        taken: What the wires add to it in each stretch, at each activity, in bfloat16 for a chip in single precision
            [S].
        profile: Mean share of each stretch for which each row is connected [1].
        activities: Activities over that of the profile for which there are matrices, from the lowest.
        alignment: When each row's pulse starts.
        nested: Whether pulses that start together are written as nested ones: what of a pulse is within the first
            stretch, the first two and so on, each a clipped level. `taken` then has what each stretch adds more than
            the next one.

    Where the first axis of `taken` and `profile` has several planes of pulses, so has the last axis but one of vectors.
    """

    drive: Float[Array, "rows cols"]
    taken: Float[Array, "plane bin activity rows cols"]
    profile: Float[Array, "plane bin rows"]
    activities: tuple[float, ...] = static(default=(1.0,))
    alignment: Alignment = Left()
    nested: bool = static(default=False)

    def of_plane(self, index: int) -> "MeanFieldColumns":
        """Return the circuit as one plane of pulses sees it.

        Args:
            index: Number of the plane.
        """
        if self.profile.shape[0] == 1:
            return self
        own = slice(index, index + 1)
        return self.with_(taken=self.taken[own], profile=self.profile[own])

    def charge(
        self, level: Float[Array, "*batch rows"], *, steps: int, timed: bool, v_read: Float[Array, ""] | float
    ) -> Float[Array, "*batch cols"]:
        """Return the mean output current over the longest pulse, per volt of read voltage [S].

        The product with the conductances is in full precision, and the one with what the wires add to them in
        bfloat16 where vectors are in single precision. Gradients are by reverse mode; they take the weights of several
        activities, which depend on levels and profile, to be constants.

        Args:
            level: Signed pulses as a share of the longest, or of the read voltage [1].
            steps: Whole steps of a full-scale pulse; not used.
            timed: As `Circuit.charge` has it.
            v_read: Read voltage [V]; the charge is linear in it.

        Returns:
            The charge of each column per volt and per length of the longest pulse [S].
        """
        return _charge(self, level, max(steps, 1), timed)


@partial(jax.jit, static_argnums=(2, 3))
def _charge(
    circuit: MeanFieldColumns, level: Float[Array, "*batch rows"], steps: int, timed: bool
) -> Float[Array, "*batch cols"]:
    # What the wires add stays as short as it was prepared, unless vectors are in double precision.
    short = circuit.taken
    circuit, level = in_one_precision(circuit.with_(taken=jnp.zeros((), circuit.drive.dtype)), level)
    circuit = circuit.with_(taken=short if level.dtype == jnp.float32 else short.astype(level.dtype))
    planes, bins, activities, rows, _ = circuit.taken.shape
    if planes > 1:
        of_planes = [_charge(circuit.of_plane(k), level[..., k, :], steps, timed) for k in range(planes)]
        return jnp.stack(of_planes, axis=-2)
    vectors = level.reshape(-1, rows)
    edges = np.asarray(circuit.alignment.bins(bins))
    if circuit.nested:
        return _sum(circuit, level, vectors, _added_to_nested(circuit.taken[0, :, 0], vectors, edges, timed))
    widths = jnp.asarray(np.diff(edges), level.dtype)[:, None]
    if timed:
        times = jnp.asarray(edges * steps, level.dtype)[:, None]
        connected, driven = shares(vectors[:, None], circuit.alignment, times[:-1], times[1:], steps)
    else:
        # Rows driven with amplitudes are connected in all stretches of a profile that has several.
        connected = jnp.broadcast_to(jnp.asarray(vectors != 0, level.dtype)[:, None], (len(vectors), bins, rows))
        driven = vectors[:, None]
    driven = driven * widths
    if activities > 1:
        weights = _weights(circuit, jax.lax.stop_gradient(connected))
        driven = driven[:, :, None] * weights[..., None]
    parts, taken = driven.reshape(-1, bins * activities * rows), circuit.taken.reshape(-1, circuit.drive.shape[-1])
    return _sum(circuit, level, vectors, short_product(carried(parts, taken), carried(taken, parts)))


def _sum(circuit: MeanFieldColumns, level: Array, vectors: Array, added: Array) -> Float[Array, "*batch cols"]:
    """Return the product with the conductances and what the wires add to it, in the batch's shape."""
    return (product(vectors, circuit.drive) + added).reshape(*level.shape[:-1], circuit.drive.shape[-1])


def _added_to_nested(
    taken: Float[Array, "bin rows cols"], vectors: Float[Array, "vector rows"], edges: np.ndarray, timed: bool
) -> Float[Array, "vector cols"]:
    """Return what the wires add to the charge of pulses that start together."""
    ends = tuple(float(edge) for edge in edges[1:])
    taken, vectors = carried(taken, vectors), carried(vectors, taken)
    if timed:
        return _nested_product(ends, vectors, taken)
    # Rows driven with amplitudes are on in all stretches.
    whole = jnp.sum(jnp.asarray(ends, vectors.dtype)[:, None, None] * taken.astype(vectors.dtype), axis=0)
    return short_product(vectors, whole)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _nested_product(
    ends: tuple[float, ...], vectors: Float[Array, "vector rows"], taken: Float[Array, "bin rows cols"]
) -> Float[Array, "vector cols"]:
    """Return the sum, over the first stretch, the first two and so on, of the product of what of pulses is within it.

    The pulses themselves are all that a gradient keeps: several times as many parts of them are made anew.

    Args:
        ends: End of each of the nested stretches, the last of which is that of the longest pulse.
        vectors: Signed pulses.
        taken: The matrix of each.
    """
    cut = [jnp.clip(vectors, -end, end) for end in ends[:-1]] + [vectors]
    parts = jnp.concatenate([shortened(part) for part in cut], axis=1)
    return short_product(parts, taken.reshape(-1, taken.shape[-1]))


def _nested_forward(ends: tuple[float, ...], vectors: Array, taken: Array) -> tuple[Array, tuple[Array, Array]]:
    return _nested_product(ends, vectors, taken), (vectors, taken)


def _nested_backward(ends: tuple[float, ...], saved: tuple[Array, Array], cotangent: Array) -> tuple[Array, Array]:
    vectors, taken = saved
    # XLA for CPUs finds what is made anew to be what it has, and keeps it. With numbers that it has only now it cannot.
    later = later_zero(cotangent)
    by_vectors, by_taken = jnp.zeros_like(vectors), []
    for nominal, own in zip(ends[:-1], taken, strict=False):
        end = nominal + later
        of_part, of_own = jax.vjp(short_product, jnp.clip(vectors, -end, end), own)[1](cotangent)
        # Pulses that are longer do not move it, and of those that end with it, half do.
        slope = (1 + jnp.sign(end - jnp.abs(vectors))) / 2
        by_vectors = by_vectors + slope * of_part
        by_taken.append(of_own)
    # The last stretch ends with the longest pulse, and has the product that the gradient of the conductances has.
    last = taken[-1].astype(vectors.dtype)
    (of_own,) = jax.linear_transpose(partial(product, vectors), last)(cotangent)
    of_part = short_product(cotangent, last.T)
    return by_vectors + of_part, jnp.stack([*by_taken, of_own.astype(taken.dtype)])


_nested_product.defvjp(_nested_forward, _nested_backward)


def _weights(
    circuit: MeanFieldColumns, connected: Float[Array, "vector bin rows"]
) -> Float[Array, "vector bin activity"]:
    """Return the weight of each activity's matrix for each vector: linear between two, and beyond the last ones."""
    expected = jnp.sum(circuit.profile[0], axis=-1)
    own = jnp.sum(connected, axis=-1)
    own = jnp.where(expected > 0, own / jnp.where(expected > 0, expected, 1.0), 1.0)
    nodes = jnp.asarray(circuit.activities, own.dtype)
    # The activity left of a vector's, so that what lies beyond continues the outermost line.
    left = jnp.clip(jnp.searchsorted(nodes, own) - 1, 0, len(circuit.activities) - 2)
    share = (own - nodes[left]) / (nodes[left + 1] - nodes[left])
    index = jnp.arange(len(circuit.activities))
    left, share = left[..., None], share[..., None]
    return jnp.where(index == left, 1 - share, jnp.where(index == left + 1, share, 0))


def mean_field(
    columns: Columns,
    profile: Float[Array, "plane bin rows"],
    of_profile: Float[Array, "plane bin rows cols"],
    activities: tuple[float, ...],
) -> MeanFieldColumns:
    """Return the matrices of columns whose rows load the wire as on average.

    Args:
        columns: The columns.
        profile: Mean share of each stretch of time for which a row is connected, for each plane of pulses [1].
        of_profile: `mean_shares` of the profile [1].
        activities: Activities over that of the profile at which matrices are built, from the lowest.
    """
    if activities == (1.0,):
        share = of_profile[:, :, None]
    else:
        factors = jnp.asarray(activities, profile.dtype)[:, None]
        share = mean_shares(columns, jnp.minimum(profile[..., None, :] * factors, 1.0), reverse_only=True)
    drive = columns.matrix([group.drive for group in columns.groups])
    nested = len(activities) == 1 and isinstance(columns.alignment.simplest, Left)
    drive, share = carried(drive, share), carried(share, drive)
    taken = _nested_taken(drive, share) if nested else drive * (share - 1)
    return MeanFieldColumns(
        drive=drive,
        taken=shortened(taken),
        nested=nested,
        profile=profile,
        activities=activities,
        alignment=columns.alignment.simplest,
    )


@jax.custom_vjp
def _nested_taken(
    drive: Float[Array, "rows cols"], share: Float[Array, "plane bin 1 rows cols"]
) -> Float[Array, "plane bin 1 rows cols"]:
    """Return what each stretch takes from the conductances more than the next one does."""
    return drive * _more_than_next(share)


def _more_than_next(share: Float[Array, "plane bin 1 rows cols"]) -> Float[Array, "plane bin 1 rows cols"]:
    return jnp.concatenate([share[:, :-1] - share[:, 1:], share[:, -1:] - 1], axis=1)


def _taken_backward(saved: tuple[Array, Array], cotangent: Array) -> tuple[Array, Array]:
    # Written out, because derivatives of slices are arrays of the whole size that are mostly zeros.
    drive, share = saved
    before = jnp.pad(cotangent[:, :-1], ((0, 0), (1, 0), (0, 0), (0, 0), (0, 0)))
    return jnp.sum(cotangent * _more_than_next(share), axis=(0, 1, 2)), drive * (cotangent - before)


_nested_taken.defvjp(lambda drive, share: (_nested_taken(drive, share), (drive, share)), _taken_backward)
