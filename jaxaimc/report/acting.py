"""What of a circuit acted in a run, what was assumed, and what was not simulated, from the run's record."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

# Parts that replace nothing: what stands for "as if it were not there".
_ABSENT = ("No", "Ideal")
# What a config may hold but need not, by the class that would stand for it.
_OPTIONAL = {
    "Mismatch": "differences of gain and offset between converters",
    "StuckDevice": "devices that are stuck",
}


def circuit(config: Mapping[str, Any]) -> tuple[list[str], list[str], list[str]]:
    """Say what acts in a config, what is assumed in it, and what it leaves out.

    Args:
        config: As in config files: parts with `type`.

    Returns:
        Sentences on what acts, one per part; on values that are idealised; and on what is not simulated.
    """
    parts = dict(_parts(config, ""))
    acts = [
        f"{path}: {_name(part)}{inside(part)}"
        for path, part in parts.items()
        if path and "." not in path and not _is_absent(part)
    ]
    left = [f"{path}: {_name(part)}." for path, part in parts.items() if _is_absent(part)]
    names = {_name(part) for part in parts.values()}
    left += [f"There are no {what} ({name})." for name, what in _OPTIONAL.items() if name not in names]
    zero, infinite = [], []
    for path, part in parts.items():
        for name, value in part.items():
            number = _number(value)
            if number is not None and (number == 0 or math.isinf(number)):
                (zero if number == 0 else infinite).append(f"{path}.{name}" if path else name)
    assumed = []
    if zero:
        assumed.append(f"At zero: {', '.join(zero)}.")
    if infinite:
        assumed.append(f"Without limit: {', '.join(infinite)}.")
    return acts, assumed, left


def digital(products: list[Mapping[str, Any]]) -> list[str]:
    """Say which products of a network are not on tiles, and why.

    Args:
        products: The record's rows.
    """
    found = [
        f"{row.get('path')} stays digital{': ' + row['reason'] if row.get('reason') else ''}."
        for row in products
        if not row.get("analog")
    ]
    biases = sum(row.get("bias") == "digital" for row in products if row.get("analog"))
    return [*found, *([f"The biases of {biases} layers are added digitally."] if biases else [])]


def methods(errors: Mapping[str, float]) -> list[str]:
    """Say how far the wires' method is off.

    Args:
        errors: Error over the effect of the wires, by layer [1].
    """
    if not errors:
        return []
    worst = max(errors, key=lambda path: errors[path])
    mean = math.sqrt(sum(error**2 for error in errors.values()) / len(errors))
    return [
        f"The wires' method is off by {100 * mean:.2g} % of what the wires do to charges, by "
        f"{100 * errors[worst]:.2g} % in {worst} (root mean square)."
    ]


def _parts(part: Mapping[str, Any], path: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield path, part
    for name, value in part.items():
        if isinstance(value, Mapping) and "type" in value:
            yield from _parts(value, f"{path}.{name}" if path else name)


def _name(part: Mapping[str, Any]) -> str:
    return str(part.get("type", "")).rpartition(".")[2]


def _is_absent(part: Mapping[str, Any]) -> bool:
    name = _name(part)
    return any(name.startswith(word) and name[len(word) : len(word) + 1].isupper() for word in _ABSENT)


def inside(part: Mapping[str, Any]) -> str:
    """Return the acting parts within a part, in brackets.

    Args:
        part: As in config files.
    """
    inner = [
        f"{name} {_name(value)}"
        for name, value in part.items()
        if isinstance(value, Mapping) and "type" in value and not _is_absent(value)
    ]
    return f" ({', '.join(inner)})" if inner else ""


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float)):
        return float(value)
    return math.inf if value in ("inf", "-inf") else None
