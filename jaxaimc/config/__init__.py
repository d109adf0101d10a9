"""Configs of analog tiles: the component that holds all parts, described, written to files and read from them."""

from jaxaimc.config.analog import AnalogConfig

__all__ = ["AnalogConfig"]
