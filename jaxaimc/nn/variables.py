"""Variable types that keep analog state apart from `nnx.Param`: optimisers and checkpoints of parameters skip it."""

from typing import Any

from flax import nnx


class _Whole(nnx.Variable):
    """A variable whose value is a component or a tuple, not an array.

    `nnx.var_defaults(ref=True)` asks Flax to put the values of new variables behind mutable references, which hold
    arrays only: these variables stay out of that.
    """

    def __init__(self, value: Any, **metadata: Any):
        super().__init__(value, **{"ref": False, **metadata})


class DeviceParam(_Whole):
    """An `AnalogConfig`: its leaves can be differentiated and optimised like parameters."""


class Conductance(_Whole):
    """A `Programmed`: the devices of a layer."""


class EffectiveMatrix(_Whole):
    """A `Prepared`: what a layer's matrix-vector product needs."""


class ActivityProfile(nnx.Variable):
    """For which share of each stretch of time each row of a layer's tiles is connected, mean over data."""


class Checksum(nnx.Variable):
    """The checksum of the kernel that a layer's chip was programmed from."""


class ReadKey(_Whole):
    """A read key and the number of reads made with it."""


class DigitalParam(nnx.Variable):
    """A digital number beside an analog layer that is trained like a parameter: a range, a column's gain or offset."""


class LayerError(nnx.Variable):
    """Sums of squares of a layer's output error and of its ideal output, gathered in `probe` mode."""
