"""Mapping in groups, and what is computed before."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxaimc._core.groups import group_size, map_in_groups
from jaxaimc._core.invariant import with_invariants_first
from jaxaimc._core.xla import stored


def figures(entry):
    x, y = entry
    return {"sum": x + jnp.sum(y), "outer": x * y}


@pytest.mark.parametrize("group", [1, 2, 7, 50])
def test_groups_of_any_size_give_what_vmap_gives(group):
    xs = jnp.arange(7.0), jnp.arange(21.0).reshape(7, 3)
    found = jax.jit(lambda xs: map_in_groups(figures, xs, group=group))(xs)
    jax.tree.map(np.testing.assert_array_equal, found, jax.vmap(figures)(xs))


@pytest.mark.parametrize("count", [0, 1, 5, 7])
def test_a_traced_count_computes_the_first_entries(count):
    xs = jnp.arange(7.0), jnp.arange(21.0).reshape(7, 3)
    found = jax.jit(lambda xs, count: map_in_groups(figures, xs, group=3, count=count))(xs, count)
    wanted = jax.vmap(figures)(xs)
    for name, values in found.items():
        np.testing.assert_array_equal(values[:count], wanted[name][:count])
        assert not np.any(values[count:])


def test_a_group_is_what_stays_in_the_cache():
    small, large = (jnp.zeros((n, n)) for n in (16, 1024))
    assert group_size(jnp.sin, small) > 1
    assert group_size(jnp.sin, large) == 1


def names(jaxpr):
    """Return the names of all operations, within functions too."""
    found = []
    for eqn in jaxpr.eqns:
        found.append(eqn.primitive.name)
        for value in eqn.params.values():
            for one in value if isinstance(value, (tuple, list)) else (value,):
                inner = getattr(one, "jaxpr", one)
                found += names(inner) if hasattr(inner, "eqns") else []
    return found


def test_what_does_not_depend_on_the_arguments_is_computed_before():
    key, w = jax.random.key(0), jnp.arange(12.0).reshape(3, 4)

    def drawn(x):
        noise = jax.jit(lambda key, x: (jax.random.normal(key, (3, 4)), jnp.tanh(x)))(key, x)
        return jax.lax.cond(x > 0, lambda: x * w, lambda: jnp.exp(w)) + noise[0] * noise[1] + jnp.cos(w)

    rest = with_invariants_first(drawn, jnp.zeros(()))
    left = names(jax.make_jaxpr(rest)(1.0).jaxpr)
    assert {"tanh", "exp"} <= set(left)  # a branch is taken as a whole
    assert not {"cos", "erf_inv", "random_bits", "threefry2x32"} & set(left)
    for x in (-1.5, 2.0):
        np.testing.assert_array_equal(rest(x), drawn(x))


def test_derivatives_are_those_of_the_function():
    @jax.custom_jvp
    def rounded(x, scale):
        return jnp.round(x) * scale

    rounded.defjvp(lambda primals, tangents: (rounded(*primals), tangents[0] * 7.0))
    w = jnp.arange(3.0)

    def function(x):
        return jnp.sum(rounded(x * w, jnp.sin(w)))

    rest = with_invariants_first(function, jnp.zeros(()))
    assert jax.grad(rest)(1.3) == jax.grad(function)(1.3) == 7.0 * 3.0


def test_what_is_quickly_made_is_made_in_the_loop():
    def total(scale, xs):
        return map_in_groups(lambda x: jnp.sum(x + jnp.full((1000,), scale)), xs, group=1)

    loops = [
        eqn for eqn in jax.make_jaxpr(total)(2.0, jnp.arange(3.0)).jaxpr.eqns if eqn.primitive.name in ("while", "scan")
    ]
    assert len(loops) == 1
    assert 1000 not in [var.aval.size for var in loops[0].invars]


def test_stored_arrays_are_the_same_and_so_are_their_derivatives():
    def function(x, keep):
        pair = {"a": jnp.sin(x), "b": x**2}
        pair = stored(pair) if keep else pair
        return jnp.sum(pair["a"] * pair["b"])

    x = jnp.linspace(-1, 1, 5)
    plain, kept = (jax.jit(jax.value_and_grad(lambda x, k=k: function(x, k)))(x) for k in (False, True))
    jax.tree.map(np.testing.assert_array_equal, plain, kept)
    many = jax.jit(jax.vmap(lambda x: function(x, True)))(jnp.stack([x, 2 * x]))
    np.testing.assert_allclose(many, [function(x, False), function(2 * x, False)], rtol=1e-6)
