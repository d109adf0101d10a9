"""Public conformance suites: run the one of its kind on a part of your own before trusting a result made with it."""

from jaxaimc.testing.device import check_device
from jaxaimc.testing.rules import ConformanceError
from jaxaimc.testing.wires import check_wires

__all__ = ["ConformanceError", "check_device", "check_wires"]
