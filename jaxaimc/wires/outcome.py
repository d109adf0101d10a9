"""How solves went, and what is refused: a solve that did not converge, conductances that no device has."""

from typing import Any, NamedTuple

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from jaxaimc.units import format_si

# An error of a thousandth of the largest output is that of an ideal 10-bit converter.
LARGEST_RESIDUAL = 1e-3


class SolveOutcome(NamedTuple):
    """How a solve went.

    Attributes:
        residual: Estimated error of the outputs, of the largest output that inputs of these sizes can have [1]: the
            current that violates Kirchhoff's law, as it arrives at the outputs, and rounding, both times the factor by
            which the lines amplify them.
        iterations: Iterations taken.
        converged: Whether the violation is within the method's tolerance, and the residual within a thousandth.
    """

    residual: Float[Array, "*batch"]
    iterations: Int[Array, "*batch"]
    converged: Bool[Array, "*batch"]


class ConvergenceError(FloatingPointError):
    """A solve ended without reaching its tolerance."""


_ADVICE = (
    "Allow the wires' method more iterations, or, where devices conduct far better than lines and single precision "
    "cannot tell their voltages apart, use double precision (`jax.enable_x64(True)`)."
)


def check_converged(owner: str, outcome: SolveOutcome) -> None:
    """Refuse an outcome that is known and did not converge; under jit the flag in the result is what remains.

    Args:
        owner: Class whose solve it is, for the message.
        outcome: The outcome.

    Raises:
        ConvergenceError: If a solve did not reach its tolerance.
    """
    if isinstance(outcome.converged, jax.core.Tracer) or bool(jnp.all(outcome.converged)):
        return
    worst, most = float(jnp.max(outcome.residual)), int(jnp.max(outcome.iterations))
    raise ConvergenceError(
        f"{owner} did not converge: residual {worst:.2g} of the largest output after {most} iterations. {_ADVICE}"
    )


def check_residual(owner: str, residual: Float[Array, "..."]) -> None:
    """Refuse effective matrices that are known and miss their own check; under jit the residual is what remains.

    Args:
        owner: What was prepared, for the message.
        residual: How far the check is off, of the largest output [1].

    Raises:
        ConvergenceError: If it is larger than `LARGEST_RESIDUAL`, or not a number.
    """
    if isinstance(residual, jax.core.Tracer):
        return
    worst = float(jnp.max(residual)) if residual.size else 0.0
    if not worst <= LARGEST_RESIDUAL:
        raise ConvergenceError(
            f"The wires of {owner} miss their own check by {worst:.2g} of the largest output; allowed is "
            f"{LARGEST_RESIDUAL:g}. {_ADVICE}"
        )


def check_conductances(name: str, g: Any) -> None:
    """Refuse conductances that are known and that no device has.

    Args:
        name: Name of the argument.
        g: Conductances [S].

    Raises:
        ValueError: If one is negative, infinite or not a number.
    """
    _check_entries(name, g, "conductances in [0, inf) S", "S", negative=False)


def check_voltages(name: str, v: Any) -> None:
    """Refuse voltages that are known and not finite.

    Args:
        name: Name of the argument.
        v: Voltages [V].

    Raises:
        ValueError: If one is infinite or not a number.
    """
    _check_entries(name, v, "finite voltages [V]", "V", negative=True)


def _check_entries(name: str, values: Any, allowed: str, unit: str, *, negative: bool) -> None:
    if isinstance(values, jax.core.Tracer):
        return
    array = np.asarray(values)
    bad = ~np.isfinite(array)
    if not negative:
        bad |= array < 0
    if np.any(bad):
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        raise ValueError(
            f"Argument `{name}` must hold {allowed}, but {int(np.sum(bad))} of {array.size} entries do not, the first "
            f"{format_si(float(array[where]), unit)} at {where}."
        )
