"""Variable types that keep analog state apart from `nnx.Param`: optimisers and checkpoints of parameters skip it."""

from flax import nnx


class DeviceParam(nnx.Variable):
    """An `AnalogConfig`: its leaves can be differentiated and optimised like parameters."""


class Conductance(nnx.Variable):
    """A `Programmed`: the devices of a layer."""


class EffectiveMatrix(nnx.Variable):
    """A `Prepared`: what a layer's matrix-vector product needs."""


class Checksum(nnx.Variable):
    """The checksum of the kernel that a layer's chip was programmed from."""


class ReadKey(nnx.Variable):
    """A read key and the number of reads made with it."""


class DigitalParam(nnx.Variable):
    """A digital number beside an analog layer that is trained like a parameter: a range, a column's gain or offset."""


class LayerError(nnx.Variable):
    """Sums of squares of a layer's output error and of its ideal output, gathered in `probe` mode."""
