"""Closed-form stand-ins for IR drop, so that published set-ups can be reproduced: alpha-beta, and the static factor."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.checks import check_number
from jaxaimc._core.component import component
from jaxaimc._core.xla import product
from jaxaimc.units import ohm
from jaxaimc.wires.base import Effective, Placement, signed_sum
from jaxaimc.wires.layouts import Layout, Separate


@component
class AlphaBeta:
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

    r_row: float = 1.0 * ohm
    r_col: float = 1.0 * ohm
    layout: Layout = Separate()

    def effective(
        self, g: Float[Array, "polarity rows cols"], signs: tuple[float, ...], placement: Placement
    ) -> Effective:
        """Return the scaled conductances; exact gradients.

        Args:
            g: Device conductances [S].
            signs: Sign of each polarity's drive.
            placement: Where the block sits on the tile; unused rows and columns lengthen the leads.

        Returns:
            The effective matrix and sensitivities, no baseline.
        """
        polarities, rows, cols = g.shape
        down, across = self.layout.pitch(polarities)
        arrays = self.layout.arrange(g)
        # Columns run to the sense end after the last row, rows to the driver before the first column.
        alpha = _profile(arrays, self.r_col, 1.0 + (placement.rows - placement.row_start - rows) * down)
        mirrored = _profile(arrays.swapaxes(-1, -2)[..., ::-1, :], self.r_row, 1.0 + placement.col_start * across)
        share = self.layout.restore(alpha * mirrored[..., ::-1, :].swapaxes(-1, -2), polarities)
        return Effective(matrix=signed_sum(g * share, signs), sensitivity=share, baseline=jnp.zeros((cols,), g.dtype))

    def validate(self) -> None:
        """Check the resistances.

        Raises:
            ValueError: If one is negative.
        """
        check_number("AlphaBeta", "r_row", self.r_row, "ohm", low=0.0, high=1e9)
        check_number("AlphaBeta", "r_col", self.r_col, "ohm", low=0.0, high=1e9)


def _profile(g: Float[Array, "array nodes lines"], r: Array | float, lead: float) -> Float[Array, "array nodes lines"]:
    """Return first-order voltages along lines that end `lead` segments after the last node [1]."""
    beyond = jnp.cumsum(jnp.cumsum(g, axis=-2), axis=-2)  # sum_{k<=i} (i - k + 1) g_k
    before = jnp.concatenate([jnp.zeros_like(beyond[..., :1, :]), beyond[..., :-1, :]], axis=-2)
    whole = before[..., -1:, :] + lead * jnp.sum(g, axis=-2, keepdims=True)
    return (1 + r * before) / (1 + r * whole)


@component
class StaticFactor:
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
        >>> round(float(wires.charge(seen.network, jnp.ones(256), 0.2)[0] / 25e-6), 2)
        246.68
    """

    scale: float = 1 / 571428.57
    g_max: float = 25e-6

    def effective(
        self, g: Float[Array, "polarity rows cols"], signs: tuple[float, ...], placement: Placement
    ) -> Effective:
        """Return the signed conductances; `charge` applies the formula."""
        seen = signed_sum(g, signs)
        return Effective(
            matrix=seen, sensitivity=jnp.ones_like(g), baseline=jnp.zeros(g.shape[-1:], g.dtype), network=seen
        )

    def charge(
        self, network: Float[Array, "rows cols"], level: Float[Array, "*batch rows"], v_read: Array | float
    ) -> Float[Array, "*batch cols"]:
        """Return the charge that the formula leaves, per volt and longest pulse [S]; exact gradients."""
        rows = network.shape[0]
        place = 1 - (1 - jnp.arange(rows, dtype=network.dtype) / rows) ** 2
        load = product(jnp.abs(level), jnp.abs(network)) * (rows * self.scale / self.g_max)
        lost = ((0.05 * load - 0.2) * load + 0.5) * load
        return product(level, network) - lost * product(level * place, network)

    def validate(self) -> None:
        """Check the fields.

        Raises:
            ValueError: If one is out of its range.
        """
        check_number("StaticFactor", "scale", self.scale, low=0.0, high=1.0)
        check_number("StaticFactor", "g_max", self.g_max, "S", low=0.0, open_low=True, high=1.0)
