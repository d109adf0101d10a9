"""The config of an analog tile: one part of each kind, and the size of the array."""

from jaxaimc._core.component import Component, component, static
from jaxaimc.adcs import ADC, CCO
from jaxaimc.cells import Cell, Differential
from jaxaimc.devices import PCM, Device
from jaxaimc.devices.base import check_window
from jaxaimc.drives import PWM, Drive
from jaxaimc.wires import Ladder, Wires


@component
class AnalogConfig(Component):
    """Everything that defines an analog tile, as a pytree whose leaves are the continuous quantities.

    Attributes:
        cell: How weights become conductances.
        device: What a memory device does to a conductance.
        wires: What the column (and row) wires do.
        drive: How inputs become pulses.
        adc: How charges become codes.
        rows: Rows of a physical tile.
        cols: Columns of a physical tile.
        column_scales: Whether each column of a tile has its own digital weight scale, or the whole matrix shares one.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from jaxaimc import AnalogConfig, analog_matmul
        >>> y = analog_matmul(AnalogConfig(), jnp.eye(4), jnp.ones((2, 4)), jax.random.key(0))
        >>> y.shape
        (2, 4)
    """

    cell: Cell = Differential()
    device: Device = PCM()
    wires: Wires = Ladder()
    drive: Drive = PWM()
    adc: ADC = CCO()
    rows: int = static(default=512, low=1, high=65536)
    cols: int = static(default=512, low=1, high=65536)
    column_scales: bool = static(default=True)

    def check(self) -> None:
        """Check that the parts fit each other.

        Raises:
            ValueError: If the cell asks for conductances beyond those that the device was measured for, or the range of
                the converter begins at zero where charges can be negative.
        """
        check_window(self.cell, self.device)
        if self.adc.unipolar and (min(self.cell.signs) < 0 or self.drive.bipolar):
            raise ValueError(
                "Field `adc` of AnalogConfig must have a range that holds negative charges, such as FullRange, where a "
                f"{type(self.cell).__name__} cell and {type(self.drive).__name__} give charges of both signs, but this "
                f"{type(self.adc).__name__} begins at zero; where weights and inputs are never negative, Span says so."
            )
