"""Checks at the doors: what they let through, what they say, and that they leave traced values alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxaimc._core import arguments, checks


@pytest.mark.parametrize(
    "value", [0, 1, 0.5, np.float32(0.25), np.arange(2), jnp.ones(3), jnp.asarray(0.5, jnp.bfloat16)]
)
def test_numbers_in_range_pass(value):
    checks.check_number("Owner", "field", value, "V", low=0.0, high=1.0)


@pytest.mark.parametrize(
    ("value", "limits", "message"),
    [
        (-1.0, {"low": 0.0}, r"Field `f` of Owner must be in \[0, inf\) V, but is -1 V\."),
        (2.0, {"low": 0.0, "high": 1.0}, r"must be in \[0, 1\] V, but is 2 V"),
        (0.0, {"low": 0.0, "open_low": True}, r"must be in \(0, inf\) V, but is 0 V"),
        (np.nan, {}, r"must be in \(-inf, inf\) V, but is nan V"),
        (np.inf, {"low": 0.0}, r"must be in \[0, inf\) V, but is inf V"),
        (np.array([0.1, -2e-3, -5.0]), {"low": 0.0}, r"must be in \[0, inf\) V, but is -2 mV"),
        ("1", {}, r"must be a number \[V\], but is '1'"),
        (None, {}, r"must be a number \[V\], but is None"),
        (True, {}, r"must be a number \[V\], but is True"),
        (1j, {}, r"must be a number \[V\], but is 1j"),
    ],
)
def test_bad_numbers(value, limits, message):
    with pytest.raises(ValueError, match=message):
        checks.check_number("Owner", "f", value, "V", **limits)


def test_infinity_passes_only_where_it_means_something():
    checks.check_number("Owner", "f", np.inf, low=1.0, finite=False)
    with pytest.raises(ValueError, match=r"must be in \[1, inf\], but is nan"):
        checks.check_number("Owner", "f", np.nan, low=1.0, finite=False)


@pytest.mark.parametrize("value", [8.0, "8", True, None, 1, 17])
def test_bad_integers(value):
    with pytest.raises(ValueError, match=rf"Field `bits` of PWM must be an integer in \[2, 16\], but is {value!r}"):
        checks.check_integer("PWM", "bits", value, low=2, high=16)


def test_bad_order_names_the_pair_that_fails():
    small, large = np.array([0.0, 3e-6, 9e-6]), np.array([1e-6, 2e-6, 10e-6])
    with pytest.raises(ValueError, match="must be less than `b`, but a is 3 uS and b is 2 uS"):
        checks.check_less("Owner", "a", small, "b", large, "S")
    with pytest.raises(ValueError, match="must be less than `b`, but a is 1 and b is 1"):
        checks.check_less("Owner", "a", 1.0, "b", 1.0, "")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.ones(3), r"Argument `w` must have shape \(rows, cols\) with no empty axis, but has shape \(3,\)"),
        (np.ones((2, 0)), r"has shape \(2, 0\)"),
        (np.ones((2, 2, 2)), r"has shape \(2, 2, 2\)"),
        (
            np.array([[1.0, np.nan], [np.inf, 0]]),
            r"finite, but 2 of 4 entries are not, the first nan at \(0, 1\)",
        ),
        (np.ones((2, 2)) * 1j, r"must hold real numbers, but has dtype complex128"),
        (np.ones((2, 2), bool), r"must hold real numbers, but has dtype bool"),
    ],
)
def test_bad_matrices(value, message):
    with pytest.raises(ValueError, match=message):
        arguments.check_matrix("w", value)


@pytest.mark.parametrize("shape", [(), (4,), (5, 4)])
def test_bad_trailing_axis(shape):
    with pytest.raises(ValueError, match=r"Argument `x` must have shape \(\.\.\., rows=5\), but has shape"):
        arguments.check_trailing("x", np.ones(shape), 5)


@pytest.mark.parametrize("t", [-1.0, np.nan, np.inf, jnp.asarray(-1.0), "1 day", None, 1j, 10**400])
def test_bad_times(t):
    with pytest.raises(ValueError, match=r"Argument `t` must be a time in \[0, inf\) s, but is"):
        arguments.check_time("t", t)


@pytest.mark.parametrize("t", [np.ones(2), jnp.ones(4), jnp.zeros((1,))])
def test_bad_times_an_array_does_not_broadcast_against_the_devices(t):
    message = r"Argument `t` must be one time, but has shape \(\d,\); map over times with `jax.vmap`"
    with pytest.raises(ValueError, match=message):
        arguments.check_time("t", t)
    with pytest.raises(ValueError, match=message):
        jax.jit(lambda t: arguments.check_time("t", t))(t)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (0, r"Argument `key` must be a typed key such as `jax.random.key\(0\)`, but is 0"),
        (None, r"must be a typed key .* but is None"),
        (np.zeros(2, np.uint32), r"must be a typed key .* but is dtype uint32"),
    ],
)
def test_bad_keys(key, message):
    with pytest.raises(ValueError, match=message):
        arguments.check_key("key", key)


def test_bad_key_shape():
    keys = jax.random.split(jax.random.key(0), 3)
    with pytest.raises(ValueError, match=r"Argument `key` must be a single key, shape \(\), but has shape \(3,\)"):
        arguments.check_key("key", keys)
    arguments.check_key("key", keys, batched=True)


def test_traced_values_are_not_looked_at():
    """Inside jit the same call must neither fail nor force a value."""

    @jax.jit
    def inside(value, key):
        checks.check_number("Owner", "f", value, low=0.0)
        checks.check_number("Owner", "f", (1.0, value), low=0.0)
        checks.check_limits("Owner", "f", (1.0, value), checks.Limits(low=0.0))
        checks.check_less("Owner", "a", value, "b", 0.0, "V")
        arguments.check_time("t", value)
        arguments.check_matrix("w", value[None, None])
        arguments.check_key("key", key)
        return value

    assert inside(-1.0 * jnp.ones(()), jax.random.key(0)) == -1.0
