"""What all wires must do, checked."""

from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxaimc.testing.rules import check_base, continuous, rule, traced_once
from jaxaimc.wires import Linear, Placement, Solved, Wires

_PLACE = Placement(rows=9, cols=6, row_start=2, col_start=1)
_ROWS, _COLS, _STEPS = 5, 4, 7


def check_wires(wires: Wires, *, signs: tuple[float, ...] = (1.0, -1.0), g_max: float = 25e-6) -> None:
    """Check wires against everything that the tiles rely on.

    Shapes and precision, cells that are open carrying nothing, no device that gives its column more than its own
    current, the conductances themselves where the wires say that they are exact, the same under `jit` and `vmap`, one
    compilation for all values of the fields, and derivatives against differences. Of wires that are solved at every
    read: no charge without pulses, each vector by itself, an empty batch, times and amplitudes. Of the supplies' power:
    shape, and that it is not negative.

    Args:
        wires: Wires to check.
        signs: Sign of each polarity's drive.
        g_max: Largest conductance to try them with [S].

    Raises:
        ConformanceError: If a rule is broken; the message says which.
        ValueError: If a field of the wires is out of its range.

    Example:
        >>> from jaxaimc.wires import Ladder
        >>> check_wires(Ladder(r=2.0))
    """
    check_base(wires, "wires", Wires)
    with rule(wires, "`resistances` must name fields that can be set"):
        chex.assert_equal(wires.with_(**dict.fromkeys(wires.resistances, 1.0)) is not None, True)
    for dtype in (jnp.float32, jnp.float64):
        with jax.enable_x64(dtype == jnp.float64):
            g = jnp.asarray(np.random.default_rng(0).uniform(0, g_max, (len(signs), _ROWS, _COLS)), dtype)
            seen = wires.effective(g, signs, _PLACE)
            _check_linear(wires, seen, g, signs)
            if isinstance(seen, Solved):
                _check_circuit(wires, seen, dtype)
            _check_power(wires, g, signs)
    with jax.enable_x64(True):
        _check_transformations(wires, g, signs)
        _check_derivatives(wires, g, signs)


def _linear(seen: Linear | Solved) -> Linear:
    return seen.linear if isinstance(seen, Solved) else seen


def _check_linear(wires: Wires, seen: Linear | Solved, g: Float[Array, "..."], signs: tuple[float, ...]) -> None:
    linear = _linear(seen)
    with rule(
        wires, "the matrix must have the shape (rows, cols), sensitivities that of the devices, (cols,) the rest"
    ):
        chex.assert_shape([linear.matrix, linear.baseline], [g.shape[1:], g.shape[-1:]])
        chex.assert_equal_shape([linear.sensitivity, g])
        jnp.broadcast_to(jnp.asarray(linear.residual), g.shape[-1:])
    with rule(wires, f"everything must be finite and of the conductances' precision, {g.dtype}"):
        chex.assert_tree_all_finite(linear)
        chex.assert_type([linear.matrix, linear.sensitivity, linear.baseline], g.dtype)
    with rule(wires, "a device must give its column no more than its own current, and nothing against it"):
        chex.assert_equal(bool(jnp.all((linear.sensitivity >= 0) & (linear.sensitivity <= 1 + 1e-6))), True)
    nothing = _linear(wires.effective(jnp.zeros_like(g), signs, _PLACE))
    with rule(wires, "open devices must carry nothing"):
        chex.assert_trees_all_equal(nothing.matrix, jnp.zeros_like(nothing.matrix))
        chex.assert_tree_all_finite(nothing)
    if wires.exact:
        with rule(wires, "wires that say `exact` must give the conductances themselves"):
            chex.assert_trees_all_equal(linear.matrix, jnp.tensordot(jnp.asarray(signs, g.dtype), g, 1))


def _check_circuit(wires: Wires, seen: Solved, dtype: Any) -> None:
    k = np.random.default_rng(1).integers(-_STEPS, _STEPS + 1, (2, _ROWS))
    level = jnp.asarray(k / _STEPS, dtype)
    # Compiling is what takes the time here: one kind of pulses in each precision.
    timed = dtype == jnp.float32
    kind = "times" if timed else "amplitudes"

    def charge(level: Array) -> Array:
        return seen.circuit.charge(level, steps=_STEPS, timed=timed, v_read=0.2)

    many = charge(level)
    with rule(wires, f"charges of {kind} must have the shape (*batch, cols), be finite and of the levels' precision"):
        chex.assert_shape(many, (2, _COLS))
        chex.assert_type(many, dtype)
        chex.assert_tree_all_finite(many)
    close = 1e-4 if timed else 1e-9
    scale = float(jnp.max(jnp.abs(many)))
    with rule(wires, f"a vector of {kind} must have the same charge in any batch"):
        chex.assert_trees_all_close(charge(level[::-1]), many[::-1], rtol=close, atol=close * scale)
    with rule(wires, f"{kind} of zero must give no charge"):
        chex.assert_trees_all_equal(charge(0 * level), 0 * many)
    with rule(wires, f"an empty batch of {kind} must give no charges"):
        chex.assert_shape(charge(level[:0]), (0, _COLS))


def _check_power(wires: Wires, g: Float[Array, "..."], signs: tuple[float, ...]) -> None:
    level = jnp.asarray(np.random.default_rng(1).uniform(-1, 1, (2, _ROWS)), g.dtype).at[1].set(0)
    power = wires.supply_power(g, signs, _PLACE, level, timed=g.dtype == jnp.float32, v_read=0.2)
    with rule(wires, "the power of supplies must have the shape (*batch,), be finite and not negative"):
        chex.assert_shape(power, (2,))
        chex.assert_tree_all_finite(power)
        chex.assert_equal(bool(jnp.all(power >= 0)), True)


def _check_transformations(wires: Wires, g: Float[Array, "..."], signs: tuple[float, ...]) -> None:
    values, rebuild = continuous(wires)

    def matrix(values: list[Array], g: Array) -> Array:
        return _linear(rebuild(values).effective(g, signs, _PLACE)).matrix

    compiled = jax.jit(traced_once(jax.vmap(matrix, (None, 0))))
    several = compiled(values, jnp.stack([g, g / 2]))
    with rule(wires, "the matrix must be the same under jit and vmap"):
        alone = matrix(values, g / 2)
        chex.assert_trees_all_close(several[1], alone, rtol=1e-9, atol=1e-9 * float(jnp.max(jnp.abs(alone))))
    with rule(wires, "the matrix must compile once for all values of the fields"):
        compiled([1.01 * value for value in values], jnp.stack([g, g / 2]))


def _check_derivatives(wires: Wires, g: Float[Array, "..."], signs: tuple[float, ...]) -> None:
    values, rebuild = continuous(wires)
    place = jnp.cos(jnp.arange(g[0].size, dtype=g.dtype)).reshape(g.shape[1:]) / float(jnp.max(g))
    names = ["conductances", "fields"]

    @jax.jit
    def f(point: tuple[Array, list[Array]]) -> Array:
        g, values = point
        return jnp.sum(place * _linear(rebuild(values).effective(g, signs, _PLACE)).matrix)

    gradient = jax.jit(jax.grad(f))((g, values))
    with rule(wires, "derivatives must be finite"):
        chex.assert_tree_all_finite(gradient)
    # Inward, so that nothing leaves its range; a field moves by a part of itself, zero stays.
    for name, along in zip(names, ((g, [0 * v for v in values]), (0 * g, values)), strict=True):
        up, down = (f(jax.tree.map(lambda x, d, s=s: x + s * d, (g, values), along)) for s in (1e-4, -1e-4))
        slope = sum(jnp.sum(a * b) for a, b in zip(*map(jax.tree.leaves, (gradient, along)), strict=True))
        with rule(wires, f"derivatives in the {name} must be those of differences"):
            chex.assert_trees_all_close(
                slope, (up - down) / 2e-4, rtol=1e-5, atol=1e-6 * float(jnp.abs(f((g, values))))
            )
