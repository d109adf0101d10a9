"""Variables of `jaxaimc design` as texts, and the configs by layer that they ask for."""

import jax
import pytest
import tiny_task

from jaxaimc import AnalogConfig, nn
from jaxaimc.cli.variables import by_layer, variable
from jaxaimc.design.variables import bind


def model():
    return tiny_task.task().build(jax.random.key(0))


def layered(*texts):
    return by_layer([variable(text) for text in texts], AnalogConfig(), [one.path for one in nn.products(model())])


def test_bounds_and_layers_are_read():
    found = [variable(text) for text in ("wires.r", "adc.bits=3:", "h(ea|i)d:adc.bits=:1e1", "(?:a|b=c):wires.r=1:2")]
    assert [(one.layer, one.path, one.low, one.high) for one in found] == [
        (None, "wires.r", None, None),
        (None, "adc.bits", 3.0, None),
        ("h(ea|i)d", "adc.bits", None, 10.0),
        ("(?:a|b=c)", "wires.r", 1.0, 2.0),
    ]


def test_layers_that_are_named_have_tiles_of_their_own():
    one, variables = layered("wires.r")
    assert isinstance(one, AnalogConfig)
    assert [each.name for each in variables] == ["wires.r"]
    configs, variables = layered("head:wires.r=0.1:9", "drive.v_read")
    assert list(configs) == ["head", ".*"]
    # One value of the voltage for both, one resistance for the head.
    assert [one.targets for one in bind(configs, variables)] == [
        (("head", "wires.r"),),
        (("head", "drive.v_read"), (".*", "drive.v_read")),
    ]
    assert list(layered("h.*:wires.r")[0]) == ["h.*"]


def test_every_layer_by_itself_but_those_with_bounds_of_their_own():
    configs, variables = layered("*:wires.r=0.1:5", "head:wires.r=0.1:9", "head:cell.g_max")
    assert sorted(configs) == ["head", "hidden"]
    bound = {one.name: one.high for one in bind(configs, variables)}
    assert bound == {"hidden:wires.r": 5.0, "head:wires.r": 9.0, "head:cell.g_max": bound["head:cell.g_max"]}


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["haed:wires.r"], r"must name layers of the network, .*head.*, but names 'haed' \(did you mean 'head'\?\)"),
        ([":wires.r"], "those of some layers such as head:adc.bits, .* but holds ':wires.r'"),
        (["head:wires.r", "h.*:cell.g_max"], "must name layers that do not overlap, but 'head' and 'h.*' are both"),
        (["*:wires.r", "h.*:cell.g_max"], r"must name single layers beside those of every layer .* 'h.\*' is 2 layers"),
        (["h(:wires.r"], r"by regular expressions, but 'h\(' is none"),
    ],
)
def test_bad_layers_are_refused(texts, message):
    with pytest.raises(ValueError, match=message):
        layered(*texts)
