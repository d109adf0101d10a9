"""What stays digital, and what `convert` refuses so that nothing does in silence."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from analog_networks import CHIP, DEVICES, NEARLY_DIGITAL, Net, Pair, analog_paths
from flax import nnx

from jaxaimc import nn

RNGS = nnx.Rngs(0)


class Convolutional(nnx.Module):
    def __init__(self, rngs):
        self.conv = nnx.Conv(1, 4, (3, 3), mask=jnp.ones((3, 3, 1, 4)), rngs=rngs)
        self.up = nnx.ConvTranspose(4, 2, (2, 2), padding="CIRCULAR", rngs=rngs)
        self.mix = nnx.Einsum("bhwa,hab->bhwb", (2, 2, 2), rngs=rngs)
        self.head = nnx.Linear(2, 3, rngs=rngs)

    def __call__(self, x):
        return self.head(self.mix(self.up(self.conv(x))).mean(axis=(1, 2)))


class Tied(nnx.Module):
    def __init__(self, rngs):
        self.table = nnx.Embed(7, 4, rngs=rngs)
        self.layer = nnx.Linear(4, 4, rngs=rngs)

    def __call__(self, tokens):
        return self.table.attend(self.layer(self.table(tokens)))


class Looked(nnx.Module):
    def __init__(self, rngs):
        self.table = nnx.Embed(7, 4, rngs=rngs)
        self.layer = nnx.Linear(4, 4, rngs=rngs)

    def __call__(self, tokens):
        return self.layer(self.table(tokens))


class Raw(nnx.Module):
    """Parameters of two and more axes in every use that the converter tells apart."""

    def __init__(self, rngs):
        self.position = nnx.Param(rngs.params.normal((3, 4)))
        self.shifted = nnx.Param(rngs.params.normal((1, 3, 4)))
        self.token = nnx.Param(rngs.params.normal((1, 1, 4)))
        self.matrix = nnx.Param(rngs.params.normal((4, 4)))
        self.mixed = nnx.Param(rngs.params.normal((4, 4)))
        self.column = nnx.Param(rngs.params.normal((4, 1)))
        self.aside = nnx.Param(rngs.params.normal((4, 4)))
        self.several = nnx.List([nnx.Param(rngs.params.normal((4, 4)))])
        self.layer = nnx.Linear(4, 4, rngs=rngs)

    def __call__(self, x):
        x = x + self.position[...]
        x += jnp.asarray(self.shifted, x.dtype)[:, :3]
        x = jnp.concatenate([self.token[...], x], axis=1)
        x = jnp.einsum("bta,ac->btc", x @ self.matrix[...], self.mixed.get_value())
        kernel = self.aside[...]
        for other in self.several:
            x = x @ other[...]
        return self.layer(x @ kernel) @ self.column.get_value()


def test_a1_layers_without_a_host_are_refused_by_path_and_type():
    model = Convolutional(RNGS)
    expected = (
        r"'conv' \(nnx.Conv, shape \(3, 3, 1, 4\)\) has a `mask`.*; "
        r"'mix' \(nnx.Einsum, shape \(2, 2, 2\)\) computes .*; "
        r"'up' \(nnx.ConvTranspose, .*Rule\(path, None\)"
    )
    for rules in (DEVICES, [nn.Rule(".*", DEVICES)]):
        with pytest.raises(ValueError, match=expected):
            nn.convert(model, rules)
    # Whatever no rule matches stays digital, and says why it could not be otherwise.
    found = {product.path: product for product in nn.products(nn.convert(model, [nn.Rule("head", DEVICES)]))}
    assert [path for path, product in found.items() if product.analog] == ["head"]
    assert "mask" in found["conv"].reason
    # So does the summary, in its table as well, where a chip has the layers that a rule names alone.
    summary = nn.summary(nn.convert(model, [nn.Rule("head", DEVICES)]))
    assert (summary.analog, summary.digital) == (1, 3)
    assert all(row.reason == found[row.path].reason for row in summary.rows)
    assert re.search(r"^conv +nnx.Conv .*has a `mask`", str(summary), re.MULTILINE)
    with pytest.raises(ValueError, match="'mix'") as caught:
        nn.convert(model, [nn.Rule("conv|up", None), nn.Rule(".*", DEVICES)])
    assert "'conv'" not in str(caught.value)
    analog = nn.convert(model, [nn.Rule("conv|up|mix", None), nn.Rule(".*", DEVICES)])
    assert analog_paths(analog) == {"head"}


def test_a1_a_list_of_products_says_what_is_analog_and_why_not():
    model = Convolutional(RNGS)
    digital = nn.products(model)
    assert [product.path for product in digital] == ["conv", "head", "mix", "up"]
    assert not any(product.analog for product in digital)
    found = nn.products(nn.convert(model, [nn.Rule("conv|up|mix", None), nn.Rule("head", DEVICES)]))
    assert found[0][:4] == ("conv", "nnx.Conv", (3, 3, 1, 4), False)
    assert found[0].reason.startswith("has a `mask`")
    assert found[2][:4] == ("mix", "nnx.Einsum", (2, 2, 2), False)
    assert "has a label twice in one operand" in found[2].reason
    assert found[1] == nn.Product("head", "nnx.Linear", (2, 3), True, "")
    kept = nn.products(nn.convert(Pair(RNGS), [nn.Rule("first", DEVICES)]))
    assert kept[1] == nn.Product("head", "nnx.Linear", (8, 4), False, "no rule puts it on a tile")


def test_a1_an_embedding_is_a_product_where_its_attend_is_called():
    assert analog_paths(nn.convert(Tied(RNGS), DEVICES)) == {"layer", "table"}
    assert analog_paths(nn.convert(Tied(RNGS), [nn.Rule("table", None), nn.Rule(".*", DEVICES)])) == {"layer"}
    assert analog_paths(nn.convert(Looked(RNGS), DEVICES)) == {"layer"}


def test_a1_the_factors_of_lora_are_products_of_their_own():
    model = nnx.Sequential(nnx.LoRALinear(4, 4, lora_rank=2, rngs=RNGS))
    assert [product.path for product in nn.products(model)] == [
        "layers/0",
        "layers/0/lora/lora_a",
        "layers/0/lora/lora_b",
    ]
    assert analog_paths(nn.convert(model, DEVICES)) == {"layers/0"}
    analog = nn.convert(model, [nn.Rule(".*/lora", None), nn.Rule(".*", NEARLY_DIGITAL)], CHIP)
    x = jax.random.normal(CHIP, (3, 4))
    assert analog_paths(analog) == {"layers/0"}
    np.testing.assert_allclose(analog(x), model(x), atol=2e-3)


def test_a1_raw_parameters_are_told_apart_by_their_use():
    model = Raw(RNGS)
    with pytest.raises(ValueError, match=r"'aside' \(Raw, shape \(4, 4\)\) may be multiplied with") as caught:
        nn.convert(model, DEVICES)
    named = set(re.findall(r"'(\w+)' \(Raw", str(caught.value)))
    assert named == {"matrix", "mixed", "column", "aside", "several"}
    assert "'matrix' (Raw, shape (4, 4)) is a product of the layer's own code" in str(caught.value)
    analog = nn.convert(model, [nn.Rule("matrix|mixed|column|aside|several", None), nn.Rule(".*", DEVICES)])
    assert analog_paths(analog) == {"layer"}


def test_a1_a_sum_of_parameters_that_is_multiplied_with_is_a_product_of_each():
    class Summed(nnx.Module):
        def __init__(self, rngs):
            self.w, self.correction, self.shifted = (nnx.Param(rngs.params.normal((4, 4))) for _ in range(3))
            self.early, self.late = (nnx.Param(rngs.params.normal((4, 4))) for _ in range(2))
            self.layer = nnx.Linear(4, 4, rngs=rngs)

        def __call__(self, x):
            x = x + (self.early[...] + self.late[...])
            return self.layer((x @ (self.w[...] - self.correction[...])) @ (1 + self.shifted[...]))

    with pytest.raises(ValueError, match=r"'correction' \(Summed, shape \(4, 4\)\) is a product") as caught:
        nn.convert(Summed(RNGS), DEVICES)
    assert set(re.findall(r"'(\w+)' \(Summed", str(caught.value))) == {"w", "correction", "shifted"}


def test_a1_embeddings_that_are_only_added_may_be_named_all_the_same():
    model = nnx.List([Looked(RNGS)])
    assert analog_paths(nn.convert(model, [nn.Rule("0/table", None), nn.Rule(".*", DEVICES)])) == {"0/layer"}


def test_a1_the_networks_of_this_repository_convert_unchanged():
    from models.transformer import PatchEmbedding, Transformer

    patches = PatchEmbedding(size=4, patch=2, width=8, mean=0.3, deviation=0.4, rngs=RNGS)
    vit = Transformer(patches, length=4, width=8, layers=1, heads=2, hidden=8, classes=3, rngs=RNGS)
    assert all(product.analog for product in nn.products(nn.convert(vit, DEVICES)))
    assert len(nn.products(vit)) == 8


def test_a1_a_tied_matrix_of_the_layers_own_code_is_seen_though_it_is_shared():
    class Head(nnx.Module):
        def __init__(self, rngs):
            self.embed = nnx.Embed(7, 4, rngs=rngs)
            self.tied = self.embed.embedding

        def __call__(self, tokens):
            return self.embed(tokens) @ self.tied.get_value().T

    with pytest.raises(ValueError, match=r"'tied' \(Head, shape \(7, 4\)\) is a product"):
        nn.convert(Head(RNGS), DEVICES)


def test_a2_a_product_of_the_layers_own_is_refused():
    def halved(*arguments, **named):
        return jax.lax.dot_general(*arguments, **named) / 2

    for layer in (
        nnx.Linear(4, 4, dot_general=halved, rngs=RNGS),
        nnx.LinearGeneral(4, 4, dot_general=halved, rngs=RNGS),
        nnx.LinearGeneral(4, 4, dot_general_cls=lambda: halved, rngs=RNGS),
    ):
        with pytest.raises(ValueError, match=r"'0' \(nnx.Linear.*own"):
            nn.convert(nnx.List([layer]), DEVICES)
        both = nnx.List([layer, nnx.Linear(4, 4, rngs=RNGS)])
        assert analog_paths(nn.convert(both, [nn.Rule("0", None), nn.Rule(".*", DEVICES)])) == {"1"}


@pytest.mark.parametrize("wrapper", [nnx.WeightNorm, nnx.SpectralNorm])
def test_a2_kernels_that_are_made_anew_in_every_call_are_refused(wrapper):
    model = nnx.List([wrapper(nnx.Linear(4, 4, rngs=RNGS), rngs=RNGS), nnx.Linear(4, 4, rngs=RNGS)])
    with pytest.raises(ValueError, match=rf"'0/layer_instance' .* gets its kernel from nnx.{wrapper.__name__}"):
        nn.convert(model, DEVICES)
    assert analog_paths(nn.convert(model, [nn.Rule("0/.*", None), nn.Rule(".*", DEVICES)])) == {"1"}


def test_a2_subclasses_that_change_their_product_are_refused():
    class ByHand(nnx.Linear):
        def __call__(self, inputs, out_sharding=None):
            return inputs @ self.kernel[...]

    class Ternary(nnx.Linear):
        def __call__(self, inputs, out_sharding=None):
            return self.dot_general(inputs, jnp.sign(self.kernel[...]), (((inputs.ndim - 1,), (0,)), ((), ())))

    class Paired(nnx.Linear):
        def __call__(self, inputs, other):
            return super().__call__(inputs + other)

    cases = {ByHand: r"does not make its product by `self.dot_general`", Ternary: "changes its kernel", Paired: "other"}
    for kind, message in cases.items():
        with pytest.raises(ValueError, match=message):
            nn.convert(nnx.List([kind(4, 4, rngs=RNGS)]), DEVICES)


def test_a4_a_rule_that_decides_on_nothing_is_refused():
    net = Net(RNGS)
    with pytest.raises(ValueError, match=r"Rule 'first' can never win.*'first'.*earlier rules \('\.\*'\)"):
        nn.convert(net, [nn.Rule(".*", DEVICES), nn.Rule("first", None)])
    with pytest.raises(ValueError, match=r"Rule 'attention/query' can never win.*\('attention/\.\*'\)"):
        nn.convert(net, [nn.Rule("attention/.*", None), nn.Rule("attention/query", DEVICES)])
    with pytest.raises(ValueError, match=r"`pattern` of Rule .* '\(' is none: missing \)"):
        nn.Rule("(", DEVICES)
    with pytest.raises(ValueError, match=r"Rule 'heads' matches no layer.*none.*Not convertible: 'conv' \(nnx.Conv\)"):
        nn.convert(nnx.Dict(conv=Convolutional(RNGS).conv), [nn.Rule("heads", DEVICES)])
    with pytest.raises(ValueError, match=r"matches no layer.*none \(nnx.Linear, .*nnx.Conv, .*nnx.Embed can\)"):
        nn.convert(nnx.LayerNorm(3, rngs=RNGS), DEVICES)
    with pytest.raises(ValueError, match=r"cannot be put on tiles: 'conv' \(nnx.Conv"):
        nn.convert(nnx.Dict(conv=Convolutional(RNGS).conv), DEVICES)


@pytest.mark.parametrize(
    ("rules", "shown"),
    [
        ({"first"}, "{'first'}"),
        (("first", DEVICES), "a tuple that holds 'first'"),
        (lambda path: DEVICES, "a function"),
        ("first", "'first'"),
        ([("first", DEVICES)], "a list that holds a tuple"),
        (None, "None"),
    ],
)
def test_bad_rules_s2_of_another_kind_are_refused_with_what_to_write(rules, shown):
    with pytest.raises(ValueError, match=r"`rules` must be .*\[Rule\(pattern, config\), \.\.\.\]") as caught:
        nn.convert(Pair(RNGS), rules)
    assert str(caught.value).endswith(f"but is {shown}.")


def test_bad_rules_and_models_s2_of_wrong_parts_are_refused():
    for arguments, field in (((1, DEVICES), "pattern"), (("a", {}), "config"), (("a", DEVICES, nnx.Linear), "host")):
        with pytest.raises(ValueError, match=f"Field `{field}` of Rule must be"):
            nn.Rule(*arguments)
    with pytest.raises(ValueError, match="Field `config` of Rule must be"):
        nn.convert(Pair(RNGS), {"first": DEVICES, "second": "digital"})  # configs by pattern are rules
    for model, shown in ((Pair, "the class Pair"), (lambda x: x, "a function"), (nnx.state(Pair(RNGS)), "a State")):
        with pytest.raises(ValueError, match=f"`model` must be a flax.nnx.Module, but is {shown}"):
            nn.convert(model, DEVICES)


def test_n8_qwix_sees_no_path_of_a_tile_and_a_quantised_model_is_refused():
    analog = nn.convert(Pair(RNGS), DEVICES, CHIP)
    for path, module in nnx.iter_modules(analog):
        module.qwix_path = path
    dot = analog.first.dot_general
    assert re.fullmatch(".*", "/".join(dot.qwix_path)) is None
    assert analog.first.qwix_path == ("first",)
    assert jax.tree.structure(nnx.state(analog)) == jax.tree.structure(nnx.state(nnx.clone(analog)))
    quantised = Pair(RNGS)
    quantised.__class__ = type("Pair", (Pair,), {"_unquantized_type": Pair})
    with pytest.raises(ValueError, match=r"Module '' \(Pair\) was quantised by qwix.*convert the model first"):
        nn.convert(quantised, DEVICES)
