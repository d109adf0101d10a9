"""The error of one layer on tiles, and what its product costs."""

import dataclasses
import warnings
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from jaxaimc import cost as costs
from jaxaimc import tile
from jaxaimc._core.arguments import as_matrix, as_real, check_time, check_trailing
from jaxaimc._core.checks import warn_of_lost_inputs
from jaxaimc._core.xla import stored
from jaxaimc.config import AnalogConfig
from jaxaimc.config.encode import encoded
from jaxaimc.cost.tile import quiet_of_tile, warn_of
from jaxaimc.sweeps.measure import Columns, Found, Measure, digest, not_finite
from jaxaimc.tile import Prepared
from jaxaimc.wires.outcome import LARGEST_RESIDUAL

# What a cost adds to the figures.
COST_COLUMNS = {"energy": "J", "latency": "s", "area": "m^2", "cost_outside": ""}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class LayerError(Measure):
    """Relative error of a layer's products on one chip; made by `of`.

    Figures: `error`, the root mean square of the outputs' error over that of the exact outputs [1]; `residual`, how far
    the wires' own check is off, of the largest output [1], at most a thousandth where a solve converged; with costs,
    `energy` [J] and `latency` [s] of a vector, `area` [m^2], and `cost_outside`, how many ranges are left in which the
    sources vouch for their parts.

    Attributes:
        w: Weights.
        x: Input vectors.
        exact: Their products in double precision.
        t: Time of the read since programming [s]; None for right after it.
        hardware: What tiles are made of, for the cost; None for no cost.
    """

    w: Float[np.ndarray, "*group n_in n_out"]
    x: Float[np.ndarray, "batch n_in"]
    exact: Float[np.ndarray, "batch n_out"]
    t: Any
    hardware: costs.Hardware | None

    @classmethod
    def of(
        cls, w: Any, x: Any, *, t: float | None = None, cost: bool = False, hardware: costs.Hardware | None = None
    ) -> "LayerError":
        """Make the measure of a layer.

        Args:
            w: Weights of any size and scale; with three axes those of groups, see `jaxaimc.program`.
            x: Input vectors, at least one.
            t: Time of the read since programming [s]; right after it by default.
            cost: Whether energy, latency and area are measured too.
            hardware: What tiles are made of; `jaxaimc.cost.Hardware()` by default.

        Raises:
            ValueError: If an argument is of another kind or size.

        Example:
            >>> from jaxaimc import AnalogConfig
            >>> measure = LayerError.of(jnp.eye(8), jnp.ones((2, 8)))
            >>> measure.columns
            {'error': '', 'residual': ''}
            >>> found = measure(AnalogConfig(), jax.random.key(0), jax.random.key(1))
            >>> bool(found["error"] < 0.2)
            True
        """
        w, x = np.asarray(as_matrix("w", w, "n_in, n_out", groups=True)), np.asarray(as_real("x", x))
        check_trailing("x", x, int(np.prod(w.shape[:-1])), "n_in")
        if not x.size or not np.isfinite(x).all():
            raise ValueError(f"Argument `x` must hold finite input vectors, at least one, but has shape {x.shape}.")
        if t is not None:
            check_time("t", t)
        if hardware is not None:
            hardware.validate()
        x = x.reshape(-1, x.shape[-1])
        blocks = w.reshape(-1, *w.shape[-2:]).astype(np.float64)
        parts = np.split(x.astype(np.float64), len(blocks), axis=-1)
        exact = np.concatenate([part @ block for part, block in zip(parts, blocks, strict=True)], axis=-1)
        if not exact.any():
            raise ValueError("Arguments `w` and `x` must have products that are not all zero: errors are relative.")
        own = (hardware or costs.Hardware()) if cost or hardware is not None else None
        return cls(w, x, exact.astype(np.result_type(w, x)), None if t is None else float(t), own)

    @property
    def chunk(self) -> int:
        """As many as take some ten seconds on a CPU."""
        return int(np.clip(2**30 // self.w.size, 16, 4096))

    @property
    def columns(self) -> Columns:
        """Units of the figures by name."""
        return {"error": "", "residual": "", **({} if self.hardware is None else COST_COLUMNS)}

    def facts(self) -> dict[str, Any]:
        """Return hashes of weights and inputs, the time and the hardware."""
        return {
            "measure": "LayerError",
            "w": digest(self.w),
            "x": digest(self.x),
            "t": self.t,
            "hardware": None if self.hardware is None else encoded(self.hardware),
        }

    def __call__(self, config: AnalogConfig, key_chip: Key[Array, ""], key_read: Key[Array, ""]) -> dict[str, Array]:
        """Return the figures; see `Measure`."""
        x = jnp.asarray(self.x)
        programmed = tile.program(config, jnp.asarray(self.w), key_chip)
        if self.t is not None:
            programmed = tile.drift(config, programmed, self.t)
        # Not merged by XLA: what is read several times would be computed as often.
        programmed = dataclasses.replace(programmed, g=stored(programmed.g))
        prepared = tile.prepare(config, programmed)
        kept = stored({"matrix": prepared.matrix, "variance": prepared.variance})
        prepared = dataclasses.replace(prepared, **kept)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # `ready` has said it
            y = tile.mvm(config, prepared, x, key_read)
        off = jnp.sum((y - self.exact) ** 2) / jnp.sum(jnp.asarray(self.exact) ** 2)
        found = {"error": jnp.sqrt(off), "residual": residual_of([prepared])}
        if self.hardware is None:
            return found
        cost = quiet_of_tile(config, programmed, prepared, x, self.hardware, 1.0)
        warn_of(cost)  # as it is traced, once
        return {**found, **cost_figures(cost)}

    def ready(self, config: AnalogConfig) -> "LayerError":
        """Return the measure itself.

        Warns:
            ClippedInputWarning: If the drive is unsigned and inputs are not.
        """
        warn_of_lost_inputs(config.drive.lost(jnp.asarray(self.x)), "LayerError")
        return self

    def notes(self, found: Found) -> list[str]:
        """Return what to warn of."""
        return [*not_finite(found), *notes_of_parts(found)]


def cost_figures(cost: costs.Cost) -> dict[str, Array]:
    """Return the figures of a cost by the names of `COST_COLUMNS`."""
    return {
        "energy": cost.energy.total,
        "latency": cost.latency,
        "area": cost.area.total,
        "cost_outside": jnp.sum(jnp.asarray(cost.outside, cost.latency.dtype)),
    }


def residual_of(matrices: Iterable[Prepared]) -> Float[Array, ""]:
    """Return how far the wires' own check is off, the worst of all columns, of the largest output [1].

    Args:
        matrices: Effective matrices.
    """
    worst = [jnp.max(prepared.residual) for prepared in matrices if prepared.residual.size]
    return jnp.max(jnp.stack(worst)) if worst else jnp.zeros(())


def notes_of_parts(found: Found) -> list[str]:
    """Return what to warn of in residuals and costs, where there are some.

    Args:
        found: Figures of all designs and chips.
    """
    notes = []
    residual, outside = found["residual"], found.get("cost_outside")
    missed = int(np.sum(~(residual <= LARGEST_RESIDUAL)))
    if missed:
        notes.append(
            f"the wires miss their own check in {missed} of {residual.size} evaluations, by {np.nanmax(residual):.2g} "
            f"of the largest output at worst, where {LARGEST_RESIDUAL:g} is allowed: do not trust their figures"
        )
    if outside is not None and np.any(outside > 0):
        notes.append(
            f"costs leave the range of their sources in {int(np.sum(outside > 0))} of {outside.size} evaluations; "
            "`Cost.notes()` says which"
        )
    return notes
