"""What every part of a cost model is: a formula with a source, and the range in which that source vouches for it."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from jaxaimc._core.checks import concrete
from jaxaimc._core.component import Component
from jaxaimc.units import format_si


class Within(NamedTuple):
    """Where a formula holds.

    Attributes:
        quantity: A field of the part, or a quantity of the tile: `"bits"` or `"rows"`.
        low: Lowest value.
        high: Highest value.
        unit: Unit of both.
    """

    quantity: str
    low: float
    high: float
    unit: str = ""

    def __str__(self) -> str:
        """Return it in words."""
        low, high = (format_si(v, self.unit).strip() if self.unit else f"{v:g}" for v in (self.low, self.high))
        return f"{self.quantity} in [{low}, {high}]"


@dataclass(frozen=True)
class Source:
    """Where the numbers of a part are from.

    Args:
        citation: Publication.
        node: Technology node [m]; None where they belong to none.
        basis: `"measured"` on silicon, `"fitted"` to published designs or simulations, or `"assumed"`.
        valid: Ranges in which the source vouches for it.
    """

    citation: str
    node: float | None
    basis: Literal["measured", "fitted", "assumed"]
    valid: tuple[Within, ...] = ()


class CostPart(Component):
    """Base of all parts of a cost model. One of your own derives from the kind of part, and gives its `source`.

    Attributes:
        source: Where the numbers are from.
    """

    source: ClassVar[Source] = Source(citation="none given", node=None, basis="assumed")

    @property
    def basis(self) -> str:
        """Basis of the values as they are: that of the source, or `"own values"` where one differs from its default."""
        for field in dataclasses.fields(self):  # pyright: ignore[reportArgumentType]
            value, default = concrete(getattr(self, field.name)), concrete(field.default)
            if value is None or default is None or default.dtype == object:
                continue
            # Defaults in single precision, as arrays are by default, are no other values.
            if not np.allclose(value, default, rtol=1e-6, atol=0.0):
                return "own values"
        return self.source.basis

    def outside(self, tile: Mapping[str, Float[Array, ""] | float]) -> dict[str, Bool[Array, ""]]:
        """Return where the part is used outside the range of its source.

        Args:
            tile: Quantities of the tile by name.

        Returns:
            A sentence for each range that applies, and whether it is left.
        """
        found = {}
        for within in self.source.valid:
            value = getattr(self, within.quantity, None)
            value = tile.get(within.quantity) if value is None else value
            if value is not None:
                inside = (jnp.asarray(value) >= within.low) & (jnp.asarray(value) <= within.high)
                found[f"{type(self).__name__} holds for {within}"] = ~inside
        return found


def describe_source(part: Any) -> str:
    """Return a line on a part: its name, basis, node and citation.

    Args:
        part: Part of a cost model.
    """
    source = part.source
    node = "" if source.node is None else f", {format_si(source.node, 'm')}"
    return f"{type(part).__name__}: {part.basis}{node} ({source.citation})"
