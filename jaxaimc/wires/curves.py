"""Current-voltage curves of devices."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from jaxaimc._core.component import component, leaf
from jaxaimc.units import S
from jaxaimc.wires.crossbar import DeviceIV


@component
class Ohmic(DeviceIV):
    """`I = g V`."""

    def current(self, g: Float[Array, "*devices"], v: Float[Array, "*devices"]) -> Float[Array, "*devices"]:
        """Return the current [A]."""
        return g * v


@component
class PolynomialIV(DeviceIV):
    """`I = g (V + c2 V |V| + c3 V^3)`: odd, so that both polarities of a read see the same curve.

    Attributes:
        c2: Coefficient of the square [1/V].
        c3: Coefficient of the cube [1/V^2].
    """

    c2: float = leaf(0.0, "1/V")
    c3: float = leaf(0.0, "1/V^2")

    def current(self, g: Float[Array, "*devices"], v: Float[Array, "*devices"]) -> Float[Array, "*devices"]:
        """Return the current [A]."""
        return g * v * (1 + (self.c2 + self.c3 * jnp.abs(v)) * jnp.abs(v))


@component
class MiloIV(DeviceIV):
    """`I = g V + n2 V^2 + n3 V^3` with coefficients that follow the conductance (Milo et al. 2021, HfO2 RRAM).

    With `L = log10(g / S)`: `n2 = 1.388e-4 L^3 + 1.541e-3 L^2 + 5.711e-3 L + 7.063e-3` A/V^2 and
    `n3 = 8.871e-5 L^2 + 6.7919e-4 L + 1.2968e-3` A/V^3, fitted for 50 to 225 uS at positive voltages; taken as odd in
    the voltage here. Below `g_floor` the two coefficients shrink in proportion to `g`, so that an open device carries
    nothing.

    Attributes:
        g_floor: Conductance below which the fit is not used [S].
    """

    g_floor: float = leaf(50e-6 * S, "S", above=0.0, high=1.0)

    def current(self, g: Float[Array, "*devices"], v: Float[Array, "*devices"]) -> Float[Array, "*devices"]:
        """Return the current [A]."""
        fitted = jnp.maximum(g, self.g_floor)
        x = jnp.log10(fitted)
        n2 = ((1.388e-4 * x + 1.541e-3) * x + 5.711e-3) * x + 7.063e-3
        n3 = (8.871e-5 * x + 6.7919e-4) * x + 1.2968e-3
        share = g / fitted
        return v * (g + share * (n2 + n3 * jnp.abs(v)) * jnp.abs(v))
