"""Compiling ahead: the same results, each program compiled once, and no harm from a plan that is wrong."""

import jax
import jax.numpy as jnp
import pytest
from compilations import compilations

from jaxaimc._core.ahead import Ahead, in_shapes


def test_what_was_planned_is_compiled_once_and_gives_the_same():
    function = jax.jit(lambda tree, x: jnp.cos(tree["a"]) * x)
    tree, x = {"a": jnp.arange(5.0)}, jnp.float32(3)
    shape = {"a": jax.ShapeDtypeStruct((5,), jnp.float32)}
    expected = jnp.cos(jnp.arange(5.0)) * 3
    plan = lambda shapes: shapes(function, shape, jax.ShapeDtypeStruct((), jnp.float32))  # noqa: E731
    with compilations() as found, Ahead(plan) as call:
        results = [call(function, tree, x) for _ in range(3)]
    assert len(found) == 1
    assert all(jnp.array_equal(result, expected) for result in results)


def test_a_plan_gets_shapes_and_may_fail():
    function, seen = jax.jit(lambda x: x[:2] + 1), []

    def plan(shapes):
        seen.append(shapes(function, jax.ShapeDtypeStruct((7,), jnp.float32)).shape)
        raise RuntimeError

    with Ahead(plan) as call:
        assert call(function, jnp.zeros(7)).tolist() == [1, 1]
        assert call(function, jnp.zeros(3)).tolist() == [1, 1]  # not planned
    assert seen in ([], [(2,)])  # none where the caller was faster
    assert in_shapes(function, jnp.zeros(7)).shape == (2,)


def test_what_a_call_raises_is_raised():
    function = jax.jit(lambda x: x @ jnp.ones(4))
    plan = lambda shapes: shapes(function, jax.ShapeDtypeStruct((3,), jnp.float32))  # noqa: E731
    with Ahead(plan) as call, pytest.raises(TypeError, match="dot_general"):
        call(function, jnp.ones(3))
