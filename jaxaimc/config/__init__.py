"""Configs of analog tiles: all parts of one, in words, in files, as a JSON schema, and field by field."""

from jaxaimc.config.analog import AnalogConfig
from jaxaimc.config.errors import ConfigFileError
from jaxaimc.config.files import SCHEMA_VERSION, dumps, load, loads
from jaxaimc.config.paths import as_arrays, at, field_at, leaf_paths, with_at
from jaxaimc.config.schema import schema, schema_text

__all__ = [
    "SCHEMA_VERSION",
    "AnalogConfig",
    "ConfigFileError",
    "as_arrays",
    "at",
    "dumps",
    "field_at",
    "leaf_paths",
    "load",
    "loads",
    "schema",
    "schema_text",
    "with_at",
]
