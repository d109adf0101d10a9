"""Put layers of a Flax model on analog tiles, by path."""

from collections.abc import Sequence

from flax import nnx
from jaxtyping import Array, Key

from jaxaimc._core.arguments import check_key
from jaxaimc.config.by_rule import Configs
from jaxaimc.nn.attention import without_analog_attention
from jaxaimc.nn.chip import program
from jaxaimc.nn.configs import check_bias_input, stacked
from jaxaimc.nn.hosts import BiasHost
from jaxaimc.nn.op import AnalogDot
from jaxaimc.nn.products import Candidate, candidates, other_paths
from jaxaimc.nn.rules import Rule, added_by_hosts, as_rules, check_each_acts, winners
from jaxaimc.nn.walk import analog_layers, modules


def convert(model: nnx.Module, rules: Sequence[Rule] | Configs, key: Key[Array, ""] | None = None) -> nnx.Module:
    """Attach analog tiles to the layers of a model.

    Layers stay where and what they are (`nnx.Linear`, `nnx.LinearGeneral`, `nnx.Einsum`, `nnx.Conv`, the `attend` of
    `nnx.Embed`, subclasses of them, `nnx.ConvTranspose`, and what the host of a rule is for): only their product is
    replaced, so parameter paths, checkpoints and shared layers are untouched, and the kernels are those of the digital
    model. Biases are added digitally, or by a row of the tile where a rule says so. Attention and recurrent cells are
    made of such layers. Nothing stays digital in silence: a layer that a rule would put on tiles and that cannot be
    analog is refused, and so is every product of a module's own code that no rule keeps digital by `None`. The factors
    of an `nnx.LoRA` always stay digital. `jaxaimc.nn.products` and `jaxaimc.nn.summary` say of every digital product
    why it is.

    Args:
        model: Any NNX model. It is not changed; the result shares its parameters. A model that is converted already is
            converted anew, from its digital layers: its chip and hooks are left behind.
        rules: First match by path wins; layers that no rule matches stay digital. A bare config means every layer, and
            a dictionary of configs by patterns rules without more.
        key: Chip key: programs one chip at once (`program`). Without it the model can be trained (view `"train"`), or
            programmed later.

    Returns:
        The analog model, in mode `"analog"`.

    Raises:
        ValueError: If a layer that a rule matches cannot be analog, a module's own product is matched by no rule, a
            rule decides on nothing, or an argument is of another kind.

    Example:
        >>> import jax, jax.numpy as jnp
        >>> from flax import nnx
        >>> from jaxaimc import AnalogConfig, nn
        >>> digital = nnx.Linear(8, 3, rngs=nnx.Rngs(0))
        >>> analog = nn.convert(digital, AnalogConfig(), key=jax.random.key(1))
        >>> nn.with_read_key(analog, jax.random.key(2))(jnp.ones((5, 8))).shape
        (5, 3)
    """
    if not isinstance(model, nnx.Module):
        raise ValueError(f"Argument `model` must be a flax.nnx.Module, but is {_kind(model)}.")
    if key is not None:
        check_key("key", key)
    rules = as_rules(rules)
    analog = to_digital(model)
    _check_not_quantised(analog)
    found = candidates(analog)
    found += added_by_hosts(rules, list(modules(analog)), found)
    chosen = winners(rules, found)
    check_each_acts(rules, found, chosen, other_paths(analog))
    _check_all_possible(found, chosen)
    _check_biases(found, chosen)
    for one in found:
        _attach(one, chosen[one.path])
    return analog if key is None else program(analog, key)


def to_digital(model: nnx.Module) -> nnx.Module:
    """Return the digital model that a model was converted from, with its parameters as they are now.

    Args:
        model: Any model, converted or not. It is not changed; the result shares its parameters.

    Returns:
        The model without analog products.

    Example:
        >>> from jaxaimc import AnalogConfig, nn
        >>> analog = nn.convert(nnx.Linear(8, 3, rngs=nnx.Rngs(0)), AnalogConfig())
        >>> nn.to_digital(analog).dot_general.__name__
        'dot_general'
    """
    digital = without_analog_attention(model)
    for layer, dot in list(analog_layers(digital)):
        dot.host.detach(layer, dot)
    return digital


def _attach(candidate: Candidate, rule: Rule | None) -> None:
    if rule is None or rule.config is None:
        return
    rule.config.validate()
    layer, host = candidate.layer, rule.host or candidate.host
    if host is None and candidate.stays is not None:
        return
    assert host is not None  # or it would have been refused
    host = host.bound(layer)
    if rule.bias == "analog":
        host = BiasHost(host, rule.bias_input)
        check_bias_input(candidate.path, rule.config, host)
    stack = host.stack(layer)
    config = stacked(rule.config, stack)
    op = AnalogDot(config, path=candidate.path, host=host, replaced=host.product(layer), stack=stack)
    host.attach(layer, op)


def _check_all_possible(found: Sequence[Candidate], chosen: dict[str, Rule | None]) -> None:
    """Refuse products that cannot be analog and that no rule keeps digital."""
    bad = []
    for one in found:
        rule = chosen[one.path]
        problem = one.problem if rule is None or rule.host is None else rule.host.problem(one.layer)
        # A layer of a known kind that no rule asks for stays digital, whether it could be analog or not, and `summary`
        # says why. Weights that a module multiplies with by itself may be known to nobody, so a rule must decide.
        unasked = one.host is not None and rule is None
        if problem is not None and not unasked and (rule is None or rule.config is not None):
            bad.append(f"{one.path!r} ({one.type_name}, shape {one.shape}) {problem}")
    if bad:
        raise ValueError(
            f"The model has products with weights that cannot be put on tiles: {'; '.join(bad)}. Keep each of them "
            "digital by a rule, `Rule(path, None)` in front of the others, or give the rule a host of your own, "
            "`Rule(path, config, host=...)`."
        )


def _check_biases(found: Sequence[Candidate], chosen: dict[str, Rule | None]) -> None:
    """Refuse rules that ask for a bias on tiles where a layer has none, or adds it as no row can."""
    bad = []
    for one in found:
        rule = chosen[one.path]
        host = None if rule is None else rule.host or one.host
        if rule is not None and rule.bias == "analog" and host is not None:
            problem = BiasHost(host.bound(one.layer), rule.bias_input).problem(one.layer)
            bad += [] if problem is None else [f"{one.path!r} ({one.type_name}) {problem}"]
    if bad:
        raise ValueError(
            f"The model has layers whose bias cannot be put in a row of a tile: {'; '.join(bad)}. Give them a rule of "
            "their own in front of the others, `Rule(path, config)`, in which `bias` is 'digital'."
        )


def _check_not_quantised(model: nnx.Module) -> None:
    """Refuse models that qwix has quantised: it would intercept the products inside of the tiles."""
    for path, module in modules(model):
        if hasattr(type(module), "_unquantized_type"):
            raise ValueError(
                f"Module {path!r} ({type(module).__name__}) was quantised by qwix, which would quantise the currents "
                "inside of the tiles as well; convert the model first, and give qwix rules that match digital layers "
                "only."
            )


def _kind(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"
