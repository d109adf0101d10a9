"""Netlists of the circuits this library solves, and a way to run them: the independent oracle of the physics tests.

The writers go straight from the circuit (devices, wire segments, sources) to ngspice's language and share no formula
with `jaxaimc.wires`. They are plain string functions of NumPy arrays; nothing here is traced by JAX.
"""

from jaxaimc.spice.ladder import ladder_dc, ladder_pwm
from jaxaimc.spice.mesh import mesh_dc
from jaxaimc.spice.ngspice import SpiceError, run, version

__all__ = ["SpiceError", "ladder_dc", "ladder_pwm", "mesh_dc", "run", "version"]
