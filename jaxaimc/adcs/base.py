"""The protocol of converters, and the one that does nothing.

Charges are given in units of one cell at full weight under a full-scale pulse, so that the ideal value is the
dot product of normalised inputs and weights; `unit_charge` says what that unit is in coulombs.
"""

from typing import Protocol

from jaxtyping import Array, Float

from jaxaimc._component import component


class ADC(Protocol):
    """What every converter offers. A converter of your own is a component with these members."""

    def convert(self, q: Float[Array, "*out"], unit_charge: Float[Array, "*#out"], rows: int) -> Float[Array, "*out"]:
        """Return the digitised charge, in the unit of `q`.

        Args:
            q: Charge in units of one fully driven cell at full weight [1].
            unit_charge: That unit [C], broadcastable to `q`.
            rows: Rows in use, the largest magnitude that `q` can have without noise.
        """
        ...

    def validate(self) -> None:
        """Check the numeric fields."""
        ...


@component
class IdealADC:
    """A converter of infinite resolution and range."""

    def convert(self, q: Float[Array, "*out"], unit_charge: Float[Array, "*#out"], rows: int) -> Float[Array, "*out"]:
        """Return `q`."""
        return q

    def validate(self) -> None:
        """Nothing to check."""
