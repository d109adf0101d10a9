"""Until every caller imports `jaxaimc.config`."""

from jaxaimc.config import SCHEMA_VERSION, AnalogConfig, ConfigFileError, dumps, load, loads

__all__ = ["SCHEMA_VERSION", "AnalogConfig", "ConfigFileError", "dumps", "load", "loads"]
