"""What every converter must do, checked."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jaxaimc.adcs import ADC, Readout, Span
from jaxaimc.adcs.base import Part
from jaxaimc.testing.rules import check_base, continuous, rule, traced_once

_PLANES, _SLICES, _COLS = 2, 3, 5


def check_adc(adc: ADC) -> None:
    """Check a converter against everything that the tiles rely on.

    Shape and precision, noise where the converter says so and only there, the same draws for the same key however the
    batch is cut, mismatch of every converter of a chip and of chip after chip, planes converted together or in parts,
    another range taken through whatever is wrapped, the same under `jit` and `vmap`, one compilation for all values of
    the fields, and finite gradients that are not all zero.

    Args:
        adc: Converter to check; its range must hold charges of some cells.

    Raises:
        ConformanceError: If a rule is broken; the message says which.
        ValueError: If a field of the converter is out of its range.

    Example:
        >>> from jaxaimc.adcs import Uniform
        >>> check_adc(Uniform(bits=6))
    """
    check_base(adc, "a converter", ADC)
    for dtype in (jnp.float32, jnp.float64):
        with jax.enable_x64(dtype == jnp.float64):
            _check_conversion(adc, _charges(dtype), _readout(adc, dtype))
    q, readout = _charges(jnp.float32), _readout(adc, jnp.float32)
    _check_noise(adc, q, readout)
    _check_mismatch(adc, q, readout)
    _check_parts(adc, q, readout)
    _check_transformations(adc, q, readout)


def _charges(dtype: Any) -> Float[Array, "batch plane slice cols"]:
    return jax.random.normal(jax.random.key(3), (4, _PLANES, _SLICES, _COLS), dtype)


def _readout(adc: ADC, dtype: Any, key: Key[Array, ""] | None = None) -> Readout:
    chip = adc.draw_mismatch(jax.random.key(3) if key is None else key, _SLICES, _COLS)
    weight = jnp.asarray(2.0 ** -np.arange(_PLANES * _SLICES), dtype).reshape(_PLANES, _SLICES, 1)
    unit = jnp.full((_PLANES, 1, 1), 1e-13, dtype)
    return Readout(unit, 8, 16, weight, chip, conversions=_PLANES * _SLICES)


def _check_conversion(adc: ADC, q: Float[Array, "*out"], readout: Readout) -> None:
    y = adc.convert(q, readout, jax.random.key(1))
    with rule(adc, f"`convert` must keep the shape {q.shape} and the precision {q.dtype}"):
        chex.assert_equal_shape([y, q])
        chex.assert_equal(y.dtype, q.dtype)
    with rule(adc, "`convert` must give finite charges"):
        chex.assert_tree_all_finite(y)
    empty = adc.convert(q[:0], readout, jax.random.key(1))
    with rule(adc, "an empty batch must give no charges"):
        chex.assert_equal_shape([empty, q[:0]])


def _check_noise(adc: ADC, q: Float[Array, "*out"], readout: Readout) -> None:
    one, again, other = (adc.convert(q, readout, jax.random.key(i)) for i in (1, 1, 2))
    with rule(adc, "`convert` must give the same for the same key"):
        chex.assert_trees_all_equal(one, again)
    with rule(adc, "`noisy` must say whether conversions differ from key to key"):
        chex.assert_equal(bool(jnp.any(one != other)), adc.noisy)
    if not adc.noisy:
        return
    message = ""
    try:
        adc.convert(q, readout, None)
    except ValueError as error:
        message = str(error)
    with rule(adc, "a noisy converter must ask for the key that it lacks, as `draw_normals` does"):
        chex.assert_equal("where the ADC is noisy" in message, True)
    keys = jax.random.split(jax.random.key(1), len(q))
    with rule(adc, "a key for each vector must make results independent of how the batch is cut"):
        whole, part = adc.convert(q, readout, keys), adc.convert(q[1:3], readout, keys[1:3])
        chex.assert_trees_all_close(whole[1:3], part, rtol=1e-5, atol=1e-6)


def _check_mismatch(adc: ADC, q: Float[Array, "*out"], readout: Readout) -> None:
    leaves = jax.tree.leaves(readout.converters)
    with rule(adc, "`mismatched` must say whether `draw_mismatch` draws anything"):
        chex.assert_equal(bool(leaves), adc.mismatched)
    with rule(adc, "what `draw_mismatch` draws must end with the axes (slice, cols)"):
        for leaf in leaves:
            chex.assert_equal(leaf.shape[-2:], (_SLICES, _COLS))

    def of_chip(key: Key[Array, ""]) -> Array:
        return adc.convert(q, _readout(adc, q.dtype, key), jax.random.key(1))

    keys = jax.random.split(jax.random.key(2), 2)
    with rule(adc, "many chips at once must each be what they are by themselves"):
        chex.assert_trees_all_close(jax.vmap(of_chip)(keys)[1], of_chip(keys[1]), rtol=1e-5, atol=1e-6)


def _check_parts(adc: ADC, q: Float[Array, "*out"], readout: Readout) -> None:
    """Planes that share a product come in parts, and a range may have a limit for each of them."""
    wide = jnp.asarray([2.0, 4.0], q.dtype).reshape(_PLANES, 1, 1)
    limit: Any = wide
    changed = adc.with_(range=Span(low=-limit, high=limit))
    if changed is None:
        return
    with rule(adc, "another range must be taken by `with_(range=...)`, and be valid"):
        chex.assert_equal(type(changed), type(adc))
        changed.validate()
    if adc.noisy:
        return
    whole = changed.convert(q, readout)
    for plane in range(_PLANES):
        here = slice(plane, plane + 1)
        weight: Any = readout.weight
        part = readout._replace(
            unit_charge=readout.unit_charge[here], weight=weight[here], part=Part(plane, plane + 1, _PLANES)
        )
        with rule(adc, "planes that are converted in parts must be converted as they are together"):
            chex.assert_trees_all_close(changed.convert(q[:, here], part), whole[:, here], rtol=1e-6, atol=1e-6)


def _check_transformations(adc: ADC, q: Float[Array, "*out"], readout: Readout) -> None:
    leaves, rebuild = continuous(adc)
    key = jax.random.key(1)
    convert = jax.jit(traced_once(lambda values, q: rebuild(values).convert(q, readout, key)))
    with rule(adc, "`convert` must be compiled once for all values of the fields"):
        compiled = convert(leaves, q)
        convert([1.01 * value for value in leaves], q)
    with rule(adc, "`convert` must give the same under jit, but for a charge at the edge of a code"):
        same = np.isclose(compiled, adc.convert(q, readout, key), rtol=1e-4, atol=1e-5)
        chex.assert_equal(bool(np.mean(same) > 0.98), True)
    slopes = jax.grad(lambda values, q: jnp.sum(rebuild(values).convert(q, readout, key)), (0, 1))(leaves, q)
    with rule(adc, "derivatives of `convert` by the charges and by the fields must be finite"):
        chex.assert_tree_all_finite(slopes)
    with rule(adc, "derivatives of `convert` by the charges must not all be zero"):
        chex.assert_equal(bool(jnp.any(slopes[1] != 0)), True)
