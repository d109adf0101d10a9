"""Curves over the state: what a config file or a slip of the pen may put into them is refused by name."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxaimc import component
from jaxaimc.devices import (
    Branches,
    Chebyshev,
    ClippedLogarithm,
    CommonLogarithm,
    Curve,
    Device,
    DeviceTable,
    Inverse,
    NormalProgramming,
    Polynomial,
    PowerLawDrift,
    Relaxation,
    Saturating,
    Tabulated,
    TimeCurve,
    Timeline,
    independent,
)

TIMES = np.array([0.0, 1.0])


@pytest.mark.parametrize("curve", [Polynomial, Chebyshev])
@pytest.mark.parametrize(
    ("coefficients", "message"),
    [
        ((), "`coefficients` of {} must hold at least one number, but is empty"),
        (np.zeros(0), r"`coefficients` of {} must hold at least one number, but has shape \(0,\)"),
        (((1.0, 2.0), (3.0,)), "`coefficients` of {} must be a flat tuple of numbers"),
        ([[1.0, 2.0], [3.0]], "`coefficients` of {} must be a number"),
        (0.5, r"`coefficients` of {} must be a list of one number or more, but has shape \(\)"),
        (np.zeros((2, 2, 2)), r"`coefficients` of {} must be a list .* but has shape \(2, 2, 2\)"),
        ((1.0, np.nan), r"`coefficients` of {} must be in \(-inf, inf\), but is nan"),
        (np.array([1.0, np.inf]), r"`coefficients` of {} must be in \(-inf, inf\), but is inf"),
        ("abc", r"`coefficients` of {} must be a number"),
    ],
)
def test_bad_coefficients_s3(curve, coefficients, message):
    """A polynomial without coefficients is zero everywhere, and used to pass as such."""
    with pytest.raises(ValueError, match=message.format(curve.__name__)):
        NormalProgramming(std=curve(coefficients=coefficients)).validate()


def test_bad_curves_of_several_times_s3():
    """Nested lists are coefficients at several times, of which only a timeline makes use."""
    nested = Polynomial(coefficients=np.ones((2, 3)))
    for law, field in (
        (NormalProgramming(std=nested), "std"),
        (PowerLawDrift(mean=independent(0.1), std=nested), "std"),
        (PowerLawDrift(mean=Branches(split=0.5, below=nested, above=independent(1.0)), std=independent(0.1)), "mean"),
    ):
        with pytest.raises(ValueError, match=f"`{field}` of {type(law).__name__} must be a curve of one time"):
            law.validate()
    Relaxation(std=Timeline(times=TIMES, curve=nested)).validate()


@pytest.mark.parametrize(
    "curve",
    [
        Polynomial(coefficients=np.ones((3, 2))),
        Polynomial(coefficients=np.ones(2)),
        Saturating(height=np.ones(3), width=1.0),
        Tabulated(states=np.array([0.0, 1.0]), values=np.ones(2)),
    ],
)
def test_bad_timelines_s3(curve):
    """Two times, but three sets of coefficients, or one that would be taken for one number per time."""
    with pytest.raises(ValueError, match="`curve` of Timeline must hold arrays with one entry for each of the 2 times"):
        Timeline(times=TIMES, curve=curve).validate()


def test_good_timelines():
    for curve in (
        Polynomial(coefficients=(1.0, 2.0)),
        Polynomial(coefficients=np.ones((2, 5))),
        Saturating(height=np.ones(2), width=0.5),
        Tabulated(states=np.tile([0.0, 1.0], (2, 1)), values=np.ones((2, 2))),
        Branches(split=0.5, below=independent(1.0), above=Chebyshev(coefficients=np.ones((2, 3)))),
    ):
        Timeline(times=TIMES, curve=curve).validate()


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (Polynomial(coefficients=(1.0,), low=1.0, high=0.5), "`low` of Polynomial must be less than `high`"),
        (Chebyshev(coefficients=(1.0,), low=1.0, high=1.0), "`low` of Chebyshev must be less than `high`"),
        (ClippedLogarithm(slope=1.0, offset=0.0, low=2.0, high=1.0), "`low` of ClippedLogarithm must be less"),
        (
            CommonLogarithm(factor=1.0, full_scale=0.0, low=0.1),
            r"`full_scale` of CommonLogarithm must be in \(0, inf\)",
        ),
        (Inverse(factor=1.0, low=0.0), r"`low` of Inverse must be in \(0, inf\)"),
        (Saturating(height=-1.0, width=1.0), r"`height` of Saturating must be in \[0, inf\)"),
        (Saturating(height=np.ones(2), width=np.ones(3)), "Fields of Saturating must have one number of times"),
        (Tabulated(states=np.array([0.0, 0.0]), values=np.ones(2)), "`states` of Tabulated must hold increasing"),
        (Tabulated(states=np.array([0.0, 1.0]), values=np.ones(3)), "`values` of Tabulated must have the shape of"),
        (Branches(split=np.ones(2), below=independent(1.0), above=independent(1.0)), "`split` of Branches"),
        (
            DeviceTable(times=TIMES, targets=np.ones(1), mean=np.ones((2, 1)), std=np.ones((2, 1)), t_scale=0.0),
            r"`t_scale` of DeviceTable must be in \(0, inf\] s",
        ),
        (Timeline(times=-TIMES, curve=independent(1.0)), r"`times` of Timeline must be in \[0, inf\) s"),
        (Timeline(times=TIMES[::-1], curve=independent(1.0)), "`times` of Timeline must hold increasing"),
    ],
)
def test_bad_curves(part, message):
    with pytest.raises(ValueError, match=message):
        part.validate()


@pytest.mark.parametrize("kind", [Curve, TimeCurve])
def test_bad_curve_without_its_method_s2(kind):
    with pytest.raises(TypeError, match=r"Unfinished is not a whole .* yet: it lacks `def __call__"):
        component(type("Unfinished", (kind,), {}))()


def test_bad_curve_of_no_kind_s2():
    """A function, and a curve of time where one of the state alone is due."""
    with pytest.raises(ValueError, match=r"`std` of NormalProgramming must be a Curve of `jaxaimc\.devices`"):
        NormalProgramming(std=lambda r: r).validate()
    with pytest.raises(ValueError, match=r"`std` of NormalProgramming must be a Curve .* but is a Timeline"):
        NormalProgramming(std=Timeline(times=TIMES, curve=independent(1.0)))


def test_own_curve_has_a_window_of_one_scale():
    @component
    class Root(Curve):
        height: float = 0.1

        def __call__(self, r):
            return self.height * jnp.sqrt(r + 1e-9)

    device = Device(programming=NormalProgramming(std=Root(), g_max=50e-6))
    device.validate()
    assert device.window == pytest.approx(50e-6)
