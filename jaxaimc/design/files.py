"""Designs with configs by rule as one file: what `jaxaimc.config` writes for one config, under every rule."""

import json
from collections.abc import Mapping
from pathlib import Path

from jaxaimc._core.checks import shown
from jaxaimc._core.files import replacing
from jaxaimc.config import AnalogConfig, ConfigFileError, dumps, loads


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
    content = {rule: None if config is None else json.loads(dumps(config)) for rule, config in configs.items()}
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
    text = Path(path).read_text(encoding="utf-8")
    try:
        content = json.loads(text)
    except ValueError as error:
        raise ConfigFileError(f"File {str(path)!r} is not JSON: {error}.") from error
    if not isinstance(content, dict) or not content:
        raise ConfigFileError(f"File {str(path)!r} must hold configs by rule, but holds {shown(content)}.")
    return {
        rule: None if part is None else loads(json.dumps(part), f"{path}, rule {rule!r}")
        for rule, part in content.items()
    }
