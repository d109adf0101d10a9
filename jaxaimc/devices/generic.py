"""Device noise by its dependence on the state alone, for studies that are not about one technology.

`NormalProgramming`, `UniformProgramming` and `NormalReadNoise` take one of these curves, and `uniform_read_noise` takes
one as its half width; amplitudes are fractions of `g_max`. Xiao et al. 2022 (arXiv 2109.01262) compare networks under
them.

Example:
    >>> from jaxaimc.devices import Device, NormalProgramming, NormalReadNoise
    >>> Device(
    ...     programming=NormalProgramming(std=proportional(0.03), g_max=100e-6),
    ...     read_noise=NormalReadNoise(std=independent(0.005), g_max=100e-6),
    ... ).validate()
"""

from jaxaimc.devices.curves import Curve, Inverse, Polynomial
from jaxaimc.devices.laws import NormalReadNoise
from jaxaimc.units import uS


def independent(amplitude: float) -> Polynomial:
    """Return a standard deviation of `amplitude g_max` at every state.

    Args:
        amplitude: Standard deviation over `g_max` [1].

    Returns:
        Curve over `r = g / g_max`.
    """
    return Polynomial(coefficients=(amplitude,))


def proportional(amplitude: float) -> Polynomial:
    """Return a standard deviation of `amplitude g`.

    Args:
        amplitude: Standard deviation over the conductance [1].

    Returns:
        Curve over `r = g / g_max`, without an upper end.
    """
    return Polynomial(coefficients=(0.0, amplitude), high=float("inf"))


def inverse_proportional(amplitude: float, smallest: float) -> Inverse:
    """Return a standard deviation of `amplitude g_max^2 / g`.

    Args:
        amplitude: Standard deviation over `g_max` at full conductance [1].
        smallest: State [1] below which it stays: without it, it would be infinite at zero.

    Returns:
        Curve over `r = g / g_max`.
    """
    return Inverse(factor=amplitude, low=smallest)


def uniform_read_noise(half_width: Curve, g_max: float = 25 * uS) -> NormalReadNoise:
    """Return read noise that is uniform within `half_width g_max` of the conductance now.

    Noise is drawn once per output, as a normal with the variance of the sum over all devices. For uniform noise of `n`
    equal devices that sum has an excess kurtosis of `-1.2 / n` instead of zero, which is all that is lost.

    Args:
        half_width: Half the width of the distribution over the state [`g_max`].
        g_max: Conductance scale [S].

    Returns:
        Read noise with a standard deviation of the half width over the square root of three.

    Example:
        >>> import jax.numpy as jnp
        >>> noise = uniform_read_noise(independent(0.03), g_max=100e-6)
        >>> round(float(jnp.sqrt(noise.variance(jnp.array(5e-5), jnp.array(5e-5), 0.0))[0]) * 1e6, 3)
        1.732
    """
    return NormalReadNoise(std=half_width, g_max=g_max, factor=3**-0.5)
