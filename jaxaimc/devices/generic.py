"""Device noise by its dependence on the state alone, for studies that are not about one technology.

`NormalProgramming`, `UniformProgramming` and `NormalReadNoise` take one of these curves; amplitudes are fractions of
`g_max`. Xiao et al. 2022 (arXiv 2109.01262) compare networks under them.

Example:
    >>> from jaxaimc.devices import Device, NormalProgramming, NormalReadNoise
    >>> Device(
    ...     programming=NormalProgramming(spread=proportional(0.03), g_max=100e-6),
    ...     read_noise=NormalReadNoise(spread=independent(0.005), g_max=100e-6),
    ... ).validate()
"""

from jaxaimc.devices.curves import Inverse, Polynomial


def independent(amplitude: float) -> Polynomial:
    """Return a spread of `amplitude g_max` at every state.

    Args:
        amplitude: Standard deviation over `g_max` [1].

    Returns:
        Curve over `r = g / g_max`.
    """
    return Polynomial(coefficients=(amplitude,))


def proportional(amplitude: float) -> Polynomial:
    """Return a spread of `amplitude g`.

    Args:
        amplitude: Standard deviation over the conductance [1].

    Returns:
        Curve over `r = g / g_max`, without an upper end.
    """
    return Polynomial(coefficients=(0.0, amplitude), high=float("inf"))


def inverse_proportional(amplitude: float, smallest: float) -> Inverse:
    """Return a spread of `amplitude g_max^2 / g`.

    Args:
        amplitude: Standard deviation over `g_max` at full conductance [1].
        smallest: State [1] below which the spread stays: without it, it would be infinite at zero.

    Returns:
        Curve over `r = g / g_max`.
    """
    return Inverse(factor=amplitude, low=smallest)
