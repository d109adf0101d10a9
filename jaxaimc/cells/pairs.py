"""Several differential pairs per weight."""

import jax.core
import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.component import component, leaf
from jaxaimc.cells.base import PairCell
from jaxaimc.cells.differential import one_sided
from jaxaimc.units import uS


@component
class Pairs(PairCell):
    """Differential pairs of different significance, `w = sum_p f_p (g_p+ - g_p-) / (g_span sum_p f_p)`.

    A weight fills the pairs one after the other, the first (least significant) to its full conductance before the
    next takes any; each pair is a column of its own. Multi-memristive synapses: Boybat et al. 2018 (Nature
    Communications 9, 2514). Exact gradients.

    Attributes:
        factors: Significance of each pair, least significant first, each greater than zero.
        g_min: Conductance of a device that holds nothing [S].
        g_max: Conductance of a full device [S].

    Example:
        >>> import jax.numpy as jnp
        >>> g = Pairs(factors=(1.0, 3.0), g_max=1e-6).encode(jnp.array([[0.25, -0.625]]))
        >>> [[round(float(v) * 1e6, 3) for v in pair[0, 0] - pair[1, 0]] for pair in g]
        [[1.0, -1.0], [0.0, -0.5]]
    """

    factors: tuple[float, ...] = leaf((1.0, 1.0), above=0.0)
    g_min: float = leaf(0.0, "S", low=0.0)
    g_max: float = leaf(25 * uS, "S", above=0.0, high=1.0)

    @property
    def significance(self) -> tuple[float, ...]:
        """Share of each full pair in a weight of one."""
        total = sum(self.factors)
        return tuple(factor / total for factor in self.factors)

    def encode(self, w: Float[Array, "rows cols"]) -> Float[Array, "slice polarity rows cols"]:
        """Return target conductances [S], shape (pair, 2, rows, cols)."""
        parts, filled = [], 0.0
        for share in self.significance:
            low, high = jnp.asarray(filled, w.dtype), jnp.asarray(filled + share, w.dtype)
            held = jnp.maximum(jnp.minimum(w, high) - low, 0) - jnp.maximum(jnp.minimum(-w, high) - low, 0)
            parts.append(one_sided(held / share, self.g_min, self.g_span))
            filled = filled + share
        return jnp.stack(parts)

    def check(self) -> None:
        """Check the factors' order and the conductance window.

        Raises:
            ValueError: If a factor is less than the one before, or the window is empty.
        """
        super().check()
        known = [float(factor) for factor in self.factors if not isinstance(factor, jax.core.Tracer)]
        if known != sorted(known):
            raise ValueError(
                "Field `factors` of Pairs must begin with the least significant pair and not fall, but is "
                f"{tuple(known)}."
            )
