"""Rules: which products of a model go on which tiles."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from jaxaimc._core.checks import check_number, shown
from jaxaimc.config import AnalogConfig
from jaxaimc.nn.hosts import HOSTS, Host
from jaxaimc.nn.products import Candidate
from jaxaimc.nn.walk import below

_Where = Literal["digital", "analog"]


@dataclass(frozen=True)
class Rule:
    """Which layers go on which tiles.

    Args:
        pattern: Regular expression that the whole path of a layer must match, such as `blocks/[0-9]+/attention/.*`; of
            weights that a layer holds itself it is the parameter's path.
        config: The tile, or None to keep the layer digital.
        host: How the layer makes its product, for kinds of layers that the library does not know; the rule then
            matches layers of that kind only.
        bias: Where the layer's bias is added: `"digital"` behind the tile, exactly, or `"analog"` by one more row of
            the tile that is driven with a constant input. The row holds `bias / bias_input` and has errors, drift,
            noise and IR drop as all rows. It shares the conductance range of its columns: where `|bias| / bias_input`
            is larger than the column's weights, it takes range from them, and a larger `bias_input` helps.
        bias_input: Constant input of that row, in the unit of the layer's inputs, greater than zero. Its pulses are
            those of any input of this value: it is rounded to a step of the drive, and a range that follows each
            vector or call (`PerVector`, `AbsoluteMaximum`) is set by it where it is larger than all inputs. With a
            range that has a limit, the limit itself is the best choice: the row is driven at full scale, without
            rounding. A limit below it is refused by `convert` and `map_configs`; `calibrate` chooses none, and a
            range that training moves below it clips it as any input.

    Raises:
        ValueError: If the pattern is no regular expression, an argument is of another kind or out of range, or a rule
            without a tile asks for an analog bias.

    Example:
        >>> import jax
        >>> from flax import nnx
        >>> from jaxaimc import AnalogConfig, nn
        >>> digital = nnx.Linear(8, 3, bias_init=nnx.initializers.ones, rngs=nnx.Rngs(0))
        >>> chip = nn.convert(digital, [nn.Rule(".*", AnalogConfig(), bias="analog")], jax.random.key(1))
        >>> nn.effective(chip)[""].n_in
        9
    """

    pattern: str
    config: AnalogConfig | None
    host: Host | None = None
    bias: _Where = "digital"
    bias_input: float = 1.0

    def __post_init__(self) -> None:
        if not isinstance(self.pattern, str):
            raise ValueError(f"Field `pattern` of Rule must be a regular expression, but is {shown(self.pattern)}.")
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise ValueError(
                f"Field `pattern` of Rule must be a regular expression, but {self.pattern!r} is none: {error}."
            ) from error
        if self.config is not None and not isinstance(self.config, AnalogConfig):
            raise ValueError(f"Field `config` of Rule must be an AnalogConfig or None, but is {shown(self.config)}.")
        if self.host is not None and not isinstance(self.host, Host):
            raise ValueError(
                f"Field `host` of Rule must be an instance of a `jaxaimc.nn.Host`, but is {shown(self.host)}."
            )
        if self.bias not in get_args(_Where):
            raise ValueError(f"Field `bias` of Rule must be 'digital' or 'analog', but is {shown(self.bias)}.")
        check_number("Rule", "bias_input", self.bias_input, low=0.0, open_low=True)
        if self.config is None and self.bias == "analog":
            raise ValueError("Field `bias` of Rule must be 'digital' where `config` is None, but is 'analog'.")
        if self.bias == "digital" and self.bias_input != 1.0:
            raise ValueError(
                f"Field `bias_input` of Rule must be left out where `bias` is 'digital', but is {self.bias_input}."
            )

    def matches(self, candidate: Candidate) -> bool:
        """Return whether the rule is about a product.

        Args:
            candidate: The product.
        """
        if self.host is None:
            return self._fits(candidate.path)
        if not isinstance(candidate.layer, self.host.kind) or candidate.parameter != self.host.parameter:
            return False
        # With a host, the path of the layer will do for a parameter that the layer holds.
        whole = candidate.path.removesuffix(f"/{candidate.parameter}")
        return self._fits(candidate.path) or self._fits(whole)

    def _fits(self, path: str) -> bool:
        return re.fullmatch(self.pattern, path) is not None


def as_rules(rules: Any) -> list[Rule]:
    """Return rules as a list, one config as a rule for every layer, configs by rule as a rule each.

    Args:
        rules: What was passed to `convert`.

    Raises:
        ValueError: If it is anything but a config, configs by rule or a sequence of rules.
    """
    if isinstance(rules, AnalogConfig):
        return [Rule(".*", rules)]
    if isinstance(rules, Mapping):
        return [Rule(pattern, config) for pattern, config in rules.items()]
    if isinstance(rules, Rule):
        return [rules]
    if isinstance(rules, Sequence) and not isinstance(rules, str) and all(isinstance(rule, Rule) for rule in rules):
        return list(rules)
    raise ValueError(
        "Argument `rules` must be an AnalogConfig, a dictionary of them by pattern or a list of rules, "
        f"`[Rule(pattern, config), ...]`, but is {_described(rules)}."
    )


def added_by_hosts(
    rules: Sequence[Rule], modules: Sequence[tuple[str, Any]], known: Sequence[Candidate]
) -> list[Candidate]:
    """Return the products that only the host of a rule knows of.

    Args:
        rules: Rules, those with hosts are looked at.
        modules: Modules of the model by path.
        known: Products that are known without them.
    """
    found: list[Candidate] = []
    for rule in rules:
        host = rule.host
        if host is None:
            continue
        for path, module in modules:
            if isinstance(module, host.kind) and hasattr(module, host.parameter):
                held = [one for one in (*known, *found) if one.layer is module and one.parameter == host.parameter]
                own = Candidate(below(path, host.parameter), module, host.parameter, host, None)
                found += [own] if not held and rule.matches(own) else []
    return found


def winners(rules: Sequence[Rule], found: Sequence[Candidate]) -> dict[str, Rule | None]:
    """Return the rule of every product: the first that matches.

    Args:
        rules: Rules in their order.
        found: Products of the model.
    """
    return {one.path: next((rule for rule in rules if rule.matches(one)), None) for one in found}


def check_each_acts(
    rules: Sequence[Rule], found: Sequence[Candidate], chosen: dict[str, Rule | None], others: Sequence[str]
) -> None:
    """Check that every rule decides on something.

    Args:
        rules: Rules in their order.
        found: Products of the model.
        chosen: The rule of every product, from `winners`.
        others: Paths of modules and parameters that are no products, which a rule may keep digital.

    Raises:
        ValueError: If a rule matches no product, or earlier rules decide on all that it matches.
    """
    for rule in rules:
        matched = [one.path for one in found if rule.matches(one)]
        if not matched:
            harmless = rule.config is None and any(re.fullmatch(rule.pattern, path) for path in others)
            if not harmless:
                raise ValueError(_no_match(rule, found))
        elif all(chosen[path] is not rule for path in matched):
            earlier = ", ".join(dict.fromkeys(repr(getattr(chosen[path], "pattern", None)) for path in matched))
            raise ValueError(
                f"Rule {rule.pattern!r} can never win: all that it matches ({_listed(matched)}) is decided by earlier "
                f"rules ({earlier})."
            )
        _check_not_staying(rule, [one for one in found if rule.matches(one)])


def _check_not_staying(rule: Rule, matched: Sequence[Candidate]) -> None:
    """Refuse a rule that would put on tiles only what stays digital."""
    if rule.config is not None and rule.host is None and matched and all(one.stays for one in matched):
        raise ValueError(
            f"Rule {rule.pattern!r} puts nothing on a tile: {matched[0].path!r} ({matched[0].type_name}) "
            f"{matched[0].stays}."
        )


def _no_match(rule: Rule, found: Sequence[Candidate]) -> str:
    kind = "" if rule.host is None else f" of the kind {rule.host.kind.__name__}, which its host is for"
    known = _listed([one.path for one in found if one.problem is None])
    rest = [f"{one.path!r} ({one.type_name}) {one.problem}" for one in found if one.problem is not None]
    message = f"Rule {rule.pattern!r} matches no layer{kind}. Paths of the layers that can be converted: {known}."
    return message + (f" Not convertible: {'; '.join(rest)}." if rest else "")


def _listed(paths: Sequence[str]) -> str:
    return ", ".join(map(repr, paths)) or f"none ({', '.join(f'nnx.{host.kind.__name__}' for host in HOSTS)} can)"


def _described(rules: Any) -> str:
    if isinstance(rules, Sequence) and not isinstance(rules, str):
        wrong = next(entry for entry in rules if not isinstance(entry, Rule))
        return f"a {type(rules).__name__} that holds {_short(wrong)}"
    return _short(rules)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 40 and not callable(value) else f"a {type(value).__name__}"
