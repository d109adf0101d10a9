"""Public conformance suites: run the one of its kind on a part of your own before trusting a result made with it."""

from jaxaimc.testing.adc import check_adc
from jaxaimc.testing.cell import check_cell
from jaxaimc.testing.device import check_device
from jaxaimc.testing.drive import check_drive
from jaxaimc.testing.rules import ConformanceError
from jaxaimc.testing.wires import check_wires

__all__ = ["ConformanceError", "check_adc", "check_cell", "check_device", "check_drive", "check_wires"]
