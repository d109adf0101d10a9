"""One config for all layers of a network, or configs by rule: which layers have which, in memory and in a file."""

import contextlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from jaxaimc._core.checks import shown
from jaxaimc._core.files import replacing
from jaxaimc.config.analog import AnalogConfig
from jaxaimc.config.errors import ConfigFileError
from jaxaimc.config.files import dumps, load, of_values
from jaxaimc.config.parse import form_of, read_text, values

# One config for all layers, or configs by regular expressions of their paths, of which the first that matches wins;
# None keeps layers digital.
Configs = AnalogConfig | Mapping[str, AnalogConfig | None]
C = TypeVar("C", bound=Configs)


def parts_of(configs: Configs) -> list[AnalogConfig]:
    """Return the config, or those of the rules that put layers on tiles.

    Args:
        configs: One config, or configs by rule.

    Raises:
        ValueError: If it is anything else, or no rule has a config.
    """
    if isinstance(configs, AnalogConfig):
        return [configs]
    if not isinstance(configs, Mapping):
        raise ValueError(f"Argument `config` must be an AnalogConfig or configs by rule, but is {shown(configs)}.")
    for rule, part in configs.items():
        if not isinstance(rule, str) or not (part is None or isinstance(part, AnalogConfig)):
            raise ValueError(
                "Argument `config` must have an AnalogConfig or None under every rule, a text, but has "
                f"{shown(part)} under {shown(rule)}."
            )
    found = [part for part in configs.values() if part is not None]
    if not found:
        raise ValueError("Argument `config` must put some layer on a tile, but has None under every rule.")
    return found


def each(configs: C, function: Callable[[AnalogConfig], AnalogConfig]) -> C:
    """Return the configs with a function applied to each of them.

    Args:
        configs: One config, or configs by rule, whose order is kept.
        function: `config -> config`.
    """
    if isinstance(configs, AnalogConfig):
        return function(configs)  # pyright: ignore[reportReturnType]
    parts_of(configs)
    return {rule: None if part is None else function(part) for rule, part in configs.items()}  # pyright: ignore[reportReturnType]


def content_of(configs: Configs) -> dict[str, Any]:
    """Return configs as JSON values: what `dumps` writes of one, under every rule where there are several.

    Args:
        configs: One config, or configs by rule.

    Raises:
        ValueError: If a field is out of its range.
        ConfigFileError: If a class cannot be named in a file.
    """
    if isinstance(configs, AnalogConfig):
        return json.loads(dumps(configs))
    parts_of(configs)
    return {rule: None if part is None else json.loads(dumps(part)) for rule, part in configs.items()}


def is_by_rule(content: Any) -> bool:
    """Return whether JSON values are configs by rule.

    Args:
        content: Content of a file.
    """
    tiles = content.values() if isinstance(content, dict) else ()
    return bool(tiles) and all(part is None or (isinstance(part, dict) and "schema" in part) for part in tiles)


def configs_in(content: Any, source: str = "text") -> Configs:
    """Return the configs in JSON values.

    Args:
        content: Result of `content_of`, or the values of a file.
        source: What to call them in errors.

    Raises:
        ConfigFileError: If they are something else; the message names the rule.
    """
    if not is_by_rule(content):
        return of_values(content, source)
    return {
        rule: None if part is None else of_values(part, f"{source}, rule {rule!r}") for rule, part in content.items()
    }


def load_any(path: str | Path) -> Configs:
    """Read a config file, or one of configs by rule.

    Args:
        path: A file of `dumps` (TOML if it ends in `.toml`, else JSON), or one of `save_configs`.

    Raises:
        FileNotFoundError: If there is no such file.
        ConfigFileError: If it cannot be read or holds something else.
    """
    path = Path(path)
    if form_of(path) == "json":
        content = None
        with contextlib.suppress(ConfigFileError):  # `load` says it
            content = values(read_text(path, "config"), "json")
        if is_by_rule(content):
            return configs_in(content, repr(str(path)))
    return load(path)


def save_configs(path: str | Path, configs: Mapping[str, AnalogConfig | None]) -> None:
    """Write configs by rule as JSON, in their order.

    Args:
        path: The file; replaced as a whole.
        configs: Configs by rule, such as `Design.config`; None keeps layers digital.

    Raises:
        ValueError: If a field is out of its range.
        ConfigFileError: If a class cannot be named in a file.
        OSError: If the disk refuses; the file then stays as it was.
    """
    content = content_of(configs)
    with replacing(Path(path)) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def load_configs(path: str | Path) -> dict[str, AnalogConfig | None]:
    """Read configs by rule.

    Args:
        path: A file of `save_configs`, such as `layers.json` of `jaxaimc design`.

    Returns:
        Configs by rule, in their order.

    Raises:
        FileNotFoundError: If there is no such file.
        ConfigFileError: If it holds something else; the message names the rule.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_configs(f"{folder}/layers.json", {"head": None, ".*": AnalogConfig()})
        ...     load_configs(f"{folder}/layers.json") == {"head": None, ".*": AnalogConfig()}
        True
    """
    found = load_any(path)
    if isinstance(found, AnalogConfig):
        raise ConfigFileError(f"File {str(path)!r} must hold configs by rule, but holds one config.")
    return dict(found)
