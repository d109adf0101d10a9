"""What every drive must do, checked."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxaimc.drives import AbsoluteMaximum, Drive, FixedRange, Pulses
from jaxaimc.testing.rules import check_base, continuous, rule, traced_once


def check_drive(drive: Drive) -> None:
    """Check a drive against everything that the tiles rely on.

    Shapes and precision, levels within the reach of their plane and whole where the drive says so, pulses that last
    where there is a level and only there, values that are driven as themselves once they have been rounded, nothing
    driven for zeros or by an empty batch, a vector that is not a number spoiling no other, the same under `jit` and
    `vmap`, one compilation for all values of the fields, and finite gradients.

    Args:
        drive: Drive to check.

    Raises:
        ConformanceError: If a rule is broken; the message says which.
        ValueError: If a field of the drive is out of its range.

    Example:
        >>> from jaxaimc.drives import PWM
        >>> check_drive(PWM())
    """
    check_base(drive, "a drive", Drive)
    for dtype in (jnp.float32, jnp.float64):
        with jax.enable_x64(dtype == jnp.float64):
            x = jax.random.normal(jax.random.key(3), (2, 3, 6), dtype)
            _check_pulses(drive, x)
            _check_values(drive, x)
    _check_batches(drive)
    _check_transformations(drive)


def _check_pulses(drive: Drive, x: Float[Array, "*batch rows"]) -> None:
    pulses = drive.encode(x)
    planes = pulses.significance.size
    with rule(drive, "`encode` must give levels and durations of shape (*batch, plane, rows)"):
        chex.assert_shape([pulses.level, pulses.duration], (*x.shape[:-1], planes, x.shape[-1]))
    with rule(drive, "`encode` must give full scale, significance, reach and steps for each plane"):
        chex.assert_shape([pulses.full_scale, pulses.significance, pulses.reach], (planes,))
        chex.assert_equal(len(pulses.steps), planes)
    with rule(drive, "`encode` must give a positive scale for each vector"):
        chex.assert_shape(pulses.x_scale, x.shape[:-1])
        chex.assert_equal(bool(np.all(pulses.x_scale > 0)), True)
    with rule(drive, f"`encode` must keep the precision {x.dtype}"):
        chex.assert_equal(pulses.level.dtype, x.dtype)
    level = np.asarray(pulses.level)
    with rule(drive, "levels must lie within the reach of their plane, and reach at most one"):
        chex.assert_equal(bool(np.all(np.asarray(pulses.reach) <= 1)), True)
        chex.assert_equal(bool(np.all(np.abs(level) <= np.asarray(pulses.reach)[:, None] * (1 + 1e-6))), True)
    with rule(drive, "a row must be driven for some time where it has a level, and only there"):
        chex.assert_equal(bool(np.all((np.asarray(pulses.duration) > 0) == (level != 0))), True)
    steps = np.asarray(pulses.steps)[:, None]
    with rule(drive, "levels must be whole multiples of one over the plane's `steps`, unless these are zero"):
        whole = np.where(steps > 0, level * steps, 0.0)
        chex.assert_trees_all_close(whole, np.round(whole), atol=1e-3 if x.dtype == jnp.float32 else 1e-9)


def _value(drive: Drive, x: Float[Array, "*batch rows"]) -> Float[Array, "*batch rows"]:
    """Return the inputs that the pulses stand for."""
    pulses: Pulses = drive.encode(x)
    return jnp.einsum("p,...pr->...r", pulses.significance, pulses.level) * pulses.x_scale[..., None]


def _check_values(drive: Drive, x: Float[Array, "*batch rows"]) -> None:
    with rule(drive, "`lost` must be a share, and zero for inputs that are not negative"):
        chex.assert_equal(0 <= float(drive.lost(x)) <= 1, True)
        chex.assert_equal(float(drive.lost(jnp.abs(x))), 0.0)
    # What cannot be driven is not: the rest is checked.
    x = jnp.abs(x) if float(drive.lost(x)) else x
    once = _value(drive, x)
    with rule(drive, "an input that is driven must keep its sign"):
        chex.assert_equal(bool(np.all(once * x >= 0)), True)
    with rule(drive, "values that pulses stand for must be driven as themselves"):
        chex.assert_trees_all_close(_value(drive, once), once, rtol=1e-5, atol=1e-5)
    with rule(drive, "a vector of zeros must drive no row, and read as nothing beside small inputs"):
        pulses = drive.encode(jnp.zeros_like(x))
        chex.assert_trees_all_equal(pulses.level, jnp.zeros_like(pulses.level))
        small = drive.encode(jnp.full_like(x, 1e-9))
        chex.assert_equal(bool(np.all(pulses.x_scale <= small.x_scale)), True)


def _check_batches(drive: Drive) -> None:
    x = jax.random.normal(jax.random.key(4), (3, 6))
    with rule(drive, "an empty batch must give empty pulses"):
        chex.assert_shape(drive.encode(x[:0]).level, (0, *drive.encode(x).level.shape[1:]))
    zero, undefined = (_value(drive, x.at[1].set(filling)) for filling in (0.0, jnp.nan))
    with rule(drive, "a vector that is not a number must not change what other vectors give"):
        chex.assert_trees_all_equal(undefined[::2], zero[::2])
    changed = drive.with_(range=FixedRange(limit=2.0))
    if changed is not None:
        with rule(drive, "another input range must be taken by `with_(range=...)`"):
            chex.assert_equal(changed.range, FixedRange(limit=2.0))


def _check_transformations(drive: Drive) -> None:
    x = jax.random.normal(jax.random.key(5), (2, 6))
    level = drive.encode(x).level
    if not isinstance(getattr(drive, "range", None), AbsoluteMaximum):
        with rule(drive, "vectors must give the same by themselves and under vmap, unless they share their range"):
            chex.assert_trees_all_close(drive.encode(x[1]).level, level[1], atol=1e-6)
            chex.assert_trees_all_close(jax.vmap(drive.encode)(x).level, level, atol=1e-6)
    leaves, rebuild = continuous(drive)
    encode = jax.jit(traced_once(lambda values, x: rebuild(values).encode(x)))
    with rule(drive, "`encode` must give the same under jit, compiled once for all values of the fields"):
        chex.assert_trees_all_close(encode(leaves, x).level, level, atol=1e-6)
        encode([1.01 * value for value in leaves], x)
    value = lambda values, x: jnp.sum(_value(rebuild(values), x))  # noqa: E731
    with rule(drive, "derivatives of `encode` by the inputs and by the fields must be finite"):
        chex.assert_tree_all_finite(jax.grad(value, (0, 1))(leaves, x))
