"""Counting bits gives products of whole numbers exactly, with the derivatives of plain products."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxaimc._core.bits import counted_product


def numbers(largest, signed, rows=70, batch=(2, 3)):
    rng = np.random.default_rng(rows)
    low = -largest if signed else 0
    levels = tuple(rng.integers(low, largest + 1, (*batch, rows)).astype(np.float32) for _ in range(2))
    return tuple(map(jnp.asarray, levels)), jnp.asarray(rng.integers(0, 2, (rows, 9)).astype(np.float32))


@pytest.mark.parametrize(("largest", "signed"), [(1, False), (1, True), (7, True), (6, False), (511, True)])
def test_products_are_those_of_whole_numbers(largest, signed):
    levels, matrix = numbers(largest, signed)
    levels = (jnp.full_like(levels[0], largest), levels[1])
    for found, level in zip(
        jax.jit(counted_product, static_argnums=(2, 3))(levels, matrix, largest, signed), levels, strict=True
    ):
        np.testing.assert_array_equal(found, level.astype(np.int64) @ matrix.astype(np.int64))


def test_each_matrix_of_a_batch_has_its_own_products():
    (level, _), matrix = numbers(1, False)
    matrices = jnp.stack([matrix, 1 - matrix])
    one = lambda level, matrix: counted_product((level,), matrix, 1, False)[0]  # noqa: E731
    found = jax.jit(jax.vmap(one, (None, 0)))(level, matrices)
    np.testing.assert_array_equal(found, np.einsum("bpr,mro->mbpo", level, matrices))


def test_derivatives_are_those_of_plain_products():
    (level, _), matrix = numbers(3, False)
    counted = lambda level, matrix: jnp.sum(jnp.sin(counted_product((level,), matrix, 3, False)[0]))  # noqa: E731
    plain = lambda level, matrix: jnp.sum(jnp.sin(level @ matrix))  # noqa: E731
    found, wanted = (jax.grad(f, (0, 1))(level, matrix) for f in (counted, plain))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), found, wanted)


def test_accelerators_multiply_in_floating_point():
    (level, _), matrix = numbers(1, False)
    one = jax.jit(lambda level, matrix: counted_product((level,), matrix, 1, False))
    shapes = (jax.ShapeDtypeStruct(level.shape, level.dtype), jax.ShapeDtypeStruct(matrix.shape, matrix.dtype))
    cpu, cuda = (jax.export.export(one, platforms=[name])(*shapes).mlir_module() for name in ("cpu", "cuda"))
    assert "popcnt" in cpu
    assert "popcnt" not in cuda
