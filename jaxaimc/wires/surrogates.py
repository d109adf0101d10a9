"""Closed-form stand-ins for IR drop, so that published set-ups can be reproduced: alpha-beta, and the static factor."""

from functools import partial
from typing import ClassVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.component import component, leaf
from jaxaimc._core.xla import product
from jaxaimc.units import S, ohm
from jaxaimc.wires.base import Circuit, Linear, Placement, Solved, Wires, signed_sum, unloaded
from jaxaimc.wires.layouts import Layout, Separate
from jaxaimc.wires.mesh import Mesh
from jaxaimc.wires.outcome import check_conductances


@component
class AlphaBeta(Wires):
    """Effective conductances `alpha_ij g_ij beta_ij` in closed form, for a mesh with leads of one segment.

        alpha_ij = (1 + r_col sum_{k<i} (i - k) g_kj) / (1 + r_col sum_k (rows - k) g_kj)
        beta_ij  = (1 + r_row sum_{p>=j} (p - j) g_ip) / (1 + r_row sum_p (p + 1) g_ip)

    The first-order voltage profiles of a column and a row, each normalised by the line's whole load (i, j from zero).
    No solve; it is close where the drop is small, and its error is to be measured against `Mesh` (docs/wires.md).

    Attributes:
        r_row: Segment of a row line between neighbouring devices [ohm].
        r_col: Segment of a column line between neighbouring devices [ohm].
        layout: How the polarities of a cell lie on physical arrays.

    Example:
        >>> import jax.numpy as jnp
        >>> g = jnp.array([[[1e-4, 5e-5], [2e-5, 1e-4]]])
        >>> seen = AlphaBeta(r_row=10.0, r_col=10.0).effective(g, (1.0,), Placement(rows=2, cols=2))
        >>> [round(float(i) * 1e6, 2) for i in jnp.array([0.2, 0.1]) @ seen.matrix]
        [21.92, 19.92]
    """

    resistances: ClassVar[tuple[str, ...]] = ("r_row", "r_col")
    supply_model: ClassVar[str] = Mesh.supply_model

    r_row: float = leaf(1.0 * ohm, "ohm", low=0.0, high=1e9)
    r_col: float = leaf(1.0 * ohm, "ohm", low=0.0, high=1e9)
    layout: Layout = Separate()

    def effective(
        self, g: Float[Array, "polarity rows cols"], signs: tuple[float, ...], placement: Placement
    ) -> Linear:
        """Return the scaled conductances; exact gradients.

        Args:
            g: Device conductances [S].
            signs: Sign of each polarity's drive.
            placement: Where the block sits on the tile; unused rows and columns lengthen the leads.

        Returns:
            The effective matrix and sensitivities, no baseline.
        """
        check_conductances("g", g)
        return _alpha_beta(self, g, signs, placement)

    def supply_power(
        self,
        g: Float[Array, "polarity rows cols"],
        signs: tuple[float, ...],
        placement: Placement,
        level: Float[Array, "*batch rows"],
        *,
        timed: bool,
        v_read: Float[Array, ""] | float,
    ) -> Float[Array, "*batch"]:
        """Return what `Mesh` of the same resistances returns [W].

        Args:
            g: Device conductances [S].
            signs: Sign of each polarity's drive.
            placement: Where the block sits on the tile.
            level: Signed pulses as a share of the largest one [1].
            timed: Whether a level is a share of time, or of the read voltage.
            v_read: Read voltage [V].
        """
        mesh = Mesh(r_row=self.r_row, r_col=self.r_col, layout=self.layout)
        return mesh.supply_power(g, signs, placement, level, timed=timed, v_read=v_read)


@partial(jax.jit, static_argnums=(2, 3), inline=True)
def _alpha_beta(
    wires: AlphaBeta, g: Float[Array, "polarity rows cols"], signs: tuple[float, ...], placement: Placement
) -> Linear:
    polarities, rows, cols = g.shape
    down, across = wires.layout.pitch(polarities)
    arrays = wires.layout.arrange(g)
    # Columns run to the sense end after the last row, rows to the driver before the first column.
    alpha = _profile(arrays, wires.r_col, 1.0 + placement.rows_after(rows) * down)
    mirrored = _profile(arrays.swapaxes(-1, -2)[..., ::-1, :], wires.r_row, 1.0 + placement.col_start * across)
    share = wires.layout.restore(alpha * mirrored[..., ::-1, :].swapaxes(-1, -2), polarities)
    return Linear(matrix=signed_sum(g * share, signs), sensitivity=share, baseline=jnp.zeros((cols,), g.dtype))


def _profile(g: Float[Array, "array nodes lines"], r: Array | float, lead: float) -> Float[Array, "array nodes lines"]:
    """Return first-order voltages along lines that end `lead` segments after the last node [1]."""
    beyond = jnp.cumsum(jnp.cumsum(g, axis=-2), axis=-2)  # sum_{k<=i} (i - k + 1) g_k
    before = jnp.concatenate([jnp.zeros_like(beyond[..., :1, :]), beyond[..., :-1, :]], axis=-2)
    whole = before[..., -1:, :] + lead * jnp.sum(g, axis=-2, keepdims=True)
    return (1 + r * before) / (1 + r * whole)


@component
class StaticFactor(Wires):
    """The older input-dependent formula for one column driven from one end, kept to reproduce earlier work.

    `a = (rows / n_half) sum_i |w_i| |x_i|`, `c = 0.05 a^3 - 0.2 a^2 + 0.5 a`, and the output loses
    `c sum_i w_i x_i (1 - (1 - i / rows)^2)`, the first row farthest (the IR drop of the standard AIMC model, Rasch et
    al. 2023, Nature Communications 14, 5282). `|w|` is taken in units of the largest device conductance `g_max`, and
    `x` in units of the longest pulse.

    Attributes:
        scale: Ratio of wire to device resistance that turns the load into the formula's argument, times rows [1]: the
            published value is 1 / 571428.57.
        g_max: Conductance that counts as a weight of one [S].

    Example:
        >>> import jax.numpy as jnp
        >>> wires = StaticFactor(g_max=25e-6)
        >>> seen = wires.effective(jnp.full((1, 256, 1), 25e-6), (1.0,), Placement(rows=256, cols=1))
        >>> charge = seen.circuit.charge(jnp.ones(256), steps=127, timed=True, v_read=0.2)
        >>> round(float(charge[0] / 25e-6), 2)
        246.68
    """

    scale: float = leaf(1 / 571428.57, low=0.0, high=1.0)
    g_max: float = leaf(25e-6 * S, "S", above=0.0, high=1.0)

    def effective(
        self, g: Float[Array, "polarity rows cols"], signs: tuple[float, ...], placement: Placement
    ) -> Solved:
        """Return the signed conductances as linear tile; its circuit applies the formula."""
        check_conductances("g", g)
        linear = unloaded(g, signs)
        per_row = jnp.asarray(self.scale / self.g_max, g.dtype)
        return Solved(linear=linear, circuit=StaticFactorColumns(matrix=linear.matrix, load_per_row=per_row))


@component
class StaticFactorColumns(Circuit):
    """Columns that lose what the static formula says.

    Attributes:
        matrix: Signed conductances [S].
        load_per_row: Argument of the formula per row and per conductance [1/S].
    """

    matrix: Float[Array, "rows cols"]
    load_per_row: Float[Array, ""]

    def charge(
        self, level: Float[Array, "*batch rows"], *, steps: int, timed: bool, v_read: Float[Array, ""] | float
    ) -> Float[Array, "*batch cols"]:
        """Return the charge that the formula leaves, per volt and longest pulse [S]; exact gradients.

        Times and amplitudes are one to it: it knows the product of level and weight only.
        """
        rows = self.matrix.shape[0]
        place = 1 - (1 - jnp.arange(rows, dtype=self.matrix.dtype) / rows) ** 2
        load = product(jnp.abs(level), jnp.abs(self.matrix)) * (rows * self.load_per_row)
        lost = ((0.05 * load - 0.2) * load + 0.5) * load
        return product(level, self.matrix) - lost * product(level * place, self.matrix)
