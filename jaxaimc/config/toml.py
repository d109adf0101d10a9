"""Values as TOML text; the standard library only reads it."""

import json
import re
from typing import Any

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml_text(content: dict[str, Any]) -> str:
    """Return an object as TOML: its own values first, then a table for every object in it.

    Args:
        content: Objects, lists, texts, numbers, true and false. A None is left out, since TOML has none.

    Example:
        >>> print(toml_text({"rows": 64, "wires": {"r": 0.3, "alternate": True}}), end="")
        rows = 64
        <BLANKLINE>
        [wires]
        r = 0.3
        alternate = true
    """
    return "\n\n".join("\n".join(lines) for lines in _tables(content, ())) + "\n"


def toml_value(value: Any) -> str:
    """Return one value as TOML.

    Args:
        value: A text, a number, true or false, or a list or an object of those.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        # A JSON text is a TOML text, but for the one control character that JSON does not escape.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(toml_value, value))}]"
    if isinstance(value, dict):
        entries = [f"{_key(key)} = {toml_value(entry)}" for key, entry in value.items() if entry is not None]
        return f"{{ {', '.join(entries)} }}"
    return repr(value)


def _tables(content: dict[str, Any], path: tuple[str, ...]) -> list[list[str]]:
    own = [
        f"{_key(key)} = {toml_value(value)}"
        for key, value in content.items()
        if value is not None and not isinstance(value, dict)
    ]
    header = [f"[{'.'.join(map(_key, path))}]"] if path else []
    inner = [
        table for key, value in content.items() if isinstance(value, dict) for table in _tables(value, (*path, key))
    ]
    return [lines for lines in [[*header, *own]] if lines] + inner


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else toml_value(key)
