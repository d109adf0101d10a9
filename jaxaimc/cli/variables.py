"""Variables of `jaxaimc design` as texts: `wires.r`, `adc.bits=3:10`, `head:adc.bits=3:10`, `*:adc.bits=3:10`."""

import dataclasses
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jaxaimc.config import AnalogConfig
from jaxaimc.config.errors import nearest

if TYPE_CHECKING:
    from jaxaimc.design import Variable
    from jaxaimc.design.variables import Configs

# Stands for every layer by itself.
EACH = "*"
# The layers that no variable names.
_OTHERS = ".*"


def variable(text: str) -> "Variable":
    """Return the variable that a text stands for.

    Args:
        text: A path, or `path=low:high` with one bound or both in base units; with `layer:` before the path it belongs
            to the layers whose path that regular expression matches.

    Raises:
        ValueError: If it is none.

    Example:
        >>> variable("adc.bits=3:10")
        Variable(path='adc.bits', low=3.0, high=10.0, start=None, layer=None, integer=None)
        >>> variable("head:adc.bits").name
        'head:adc.bits'
    """
    from jaxaimc.design import Variable

    name, equals, interval = text.rpartition("=") if "=" in text else (text, "", "")
    layer, of_layer, path = name.rpartition(":")
    low, colon, high = interval.partition(":")
    try:
        if (equals and not colon) or (of_layer and not layer):
            raise ValueError
        least, most = (float(bound) if bound else None for bound in (low, high))
    except ValueError:
        raise ValueError(
            "Argument `variables` must hold paths, those of some layers such as head:adc.bits, or paths with bounds "
            f"such as adc.bits=3:10, but holds {text!r}."
        ) from None
    return Variable(path, low=least, high=most, layer=layer if of_layer else None)


def by_layer(
    variables: Sequence["Variable"], config: AnalogConfig, paths: Sequence[str]
) -> tuple["Configs", list["Variable"]]:
    """Return configs and variables for a network: one tile for all layers, or tiles by rule where a variable asks.

    Args:
        variables: Results of `variable`.
        config: The tile to start from.
        paths: Paths of the network's layers, as `jaxaimc.nn.products` has them.

    Returns:
        The config, or configs by rule; and the variables, those of every layer by itself written out.

    Raises:
        ValueError: If a variable belongs to no layer, or rules overlap.
    """
    if all(one.layer is None for one in variables):
        return config, list(variables)
    rules = list(dict.fromkeys(one.layer for one in variables if one.layer not in (None, EACH)))
    of_rule = {rule: _matching(rule, paths) for rule in rules}
    owners: dict[str, str] = {}
    for rule, matched in of_rule.items():
        for path in matched:
            if path in owners:
                raise ValueError(
                    f"Argument `variables` must name layers that do not overlap, but {owners[path]!r} and {rule!r} "
                    f"are both layer {path!r}."
                )
            owners[path] = rule
    if not any(one.layer == EACH for one in variables):
        rest = {_OTHERS: config} if len(owners) < len(paths) else {}
        return {**dict.fromkeys(rules, config), **rest}, list(variables)
    for rule, matched in of_rule.items():
        if len(matched) > 1:
            raise ValueError(
                f"Argument `variables` must name single layers beside those of every layer by itself ({EACH}:), but "
                f"{rule!r} is {len(matched)} layers."
            )
    single = {rule: re.escape(matched[0]) for rule, matched in of_rule.items()}
    written: list[Any] = []
    for one in variables:
        if one.layer == EACH:
            # A layer's own variable of the same field stands for itself, with its own bounds.
            own = {single[other.layer] for other in variables if other.layer in single and other.path == one.path}
            layers = [rule for rule in map(re.escape, paths) if rule not in own]
            written += [dataclasses.replace(one, layer=rule) for rule in layers]
        else:
            written.append(one if one.layer is None else dataclasses.replace(one, layer=single[one.layer]))
    return {re.escape(path): config for path in paths}, written


def _matching(rule: str, paths: Sequence[str]) -> list[str]:
    try:
        found = [path for path in paths if re.fullmatch(rule, path)]
    except re.error as error:
        raise ValueError(
            f"Argument `variables` must name layers by regular expressions, but {rule!r} is none: {error}."
        ) from error
    if not found:
        raise ValueError(
            f"Argument `variables` must name layers of the network, {', '.join(paths)}, but names "
            f"{rule!r}{nearest(rule, paths)}."
        )
    return found
