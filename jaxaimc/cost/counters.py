"""Converters that count a charge, such as current-controlled oscillators."""

from abc import abstractmethod
from typing import ClassVar

from jaxtyping import Array, Float

from jaxaimc._core.component import component, leaf
from jaxaimc.cost.converters import Scalar
from jaxaimc.cost.part import CostPart, Source
from jaxaimc.units import V, fJ, ns


class CounterCost(CostPart):
    """Base of converters that count. One of your own needs `energy`, `delay` and `area`."""

    @abstractmethod
    def energy(self, counts: Float[Array, "*out"], charge: Float[Array, "*out"], time: Scalar) -> Float[Array, "*out"]:
        """Return the energy of a conversion [J].

        Args:
            counts: How far it counts [1].
            charge: Magnitude of the charge that it counts [C].
            time: How long it integrates [s].
        """

    @abstractmethod
    def delay(self) -> Scalar:
        """Return the time of a conversion after the pulses have ended [s]."""

    @abstractmethod
    def area(self) -> Scalar:
        """Return the area of a converter [m^2]."""


@component
class Oscillator(CounterCost):
    """An oscillator driven by a copy of the column's current, and a counter.

        energy = branches v_dd Q + e_count N + p_static t

    The supply delivers the charge once for every branch that carries the column's current or a copy of it (regulator,
    mirror, oscillator); a count switches two bits of the counter on average; what regulates the column's voltage draws
    a current all the time. That is our own estimate: no source gives the parts of such a converter.

    Attributes:
        branches: Branches that carry the column's current.
        v_dd: Supply voltage [V].
        e_count: Energy of a count, oscillator stages and counter [J].
        p_static: Power of the regulator [W].
        t_read: Time to read the counter out [s].
        size: Area of a converter [m^2].
    """

    source: ClassVar[Source] = Source(
        citation="own estimate for converters as in Khaddam-Aljameh et al. 2022 (IEEE JSSC 57, 1027)",
        node=14e-9,
        basis="assumed",
    )

    branches: float = leaf(3.0, low=0.0)
    v_dd: float = leaf(0.8 * V, "V", above=0.0)
    e_count: float = leaf(5 * fJ, "J", low=0.0)
    p_static: float = leaf(20e-6, "W", low=0.0)
    t_read: float = leaf(1 * ns, "s", low=0.0)
    size: float = leaf(800e-12, "m^2", low=0.0)

    def energy(self, counts: Float[Array, "*out"], charge: Float[Array, "*out"], time: Scalar) -> Float[Array, "*out"]:
        """Return the energy of a conversion [J]."""
        return self.branches * self.v_dd * charge + self.e_count * counts + self.p_static * time

    def delay(self) -> Scalar:
        """Return the time to read the counter out [s]."""
        return self.t_read

    def area(self) -> Scalar:
        """Return the area of a converter [m^2]."""
        return self.size
