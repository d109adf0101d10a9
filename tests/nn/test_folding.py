"""Batch normalisation folded into the layer before it, against the layers of Flax in evaluation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from analog_networks import CHIP, NEARLY_DIGITAL
from flax import nnx

from jaxaimc import nn

RNGS = nnx.Rngs(0)


def norm(channels, seed=1, **named):
    """A normalisation with statistics and parameters that act."""
    made = nnx.BatchNorm(channels, use_running_average=True, rngs=nnx.Rngs(0), **named)
    rng = np.random.default_rng(seed)
    for name in ("mean", "var", "scale", "bias"):
        if getattr(made, name) is not None:
            drawn = rng.normal(size=channels) if name in ("mean", "bias") else rng.uniform(0.3, 3, channels)
            setattr(made, name, getattr(made, name).replace(jnp.asarray(drawn, jnp.float32)))
    return made


class Net(nnx.Module):
    """Layers of every kind, each with its normalisation."""

    def __init__(self):
        self.conv1 = nnx.Conv(2, 4, (3, 3), use_bias=False, rngs=RNGS)
        self.norm1 = norm(4)
        self.conv2 = nnx.Conv(4, 4, (3, 3), feature_group_count=4, bias_init=nnx.initializers.normal(), rngs=RNGS)
        self.norm2 = norm(4, 2, use_scale=False)
        self.up = nnx.ConvTranspose(4, 3, (2, 2), (2, 2), transpose_kernel=True, rngs=RNGS)
        self.norms = nnx.List([norm(3, 3, use_bias=False, epsilon=0.1), norm(5, 4), norm(2, 5)])
        self.head = nnx.LinearGeneral((8, 3), 5, axis=(2, 3), rngs=RNGS)
        self.out = nnx.Linear(5, 2, bias_init=nnx.initializers.normal(), rngs=RNGS)

    def __call__(self, x):
        x = nnx.relu(self.norm1(self.conv1(x), use_running_average=True))
        x = nnx.relu(self.norm2(self.conv2(x)))
        x = nnx.relu(self.norms[0](self.up(x)))
        return self.norms[2](self.out(nnx.relu(self.norms[1](self.head(x)))))


PAIRS = [
    ("conv1", "norm1"),
    ["conv2", "norm2"],
    ("up", "norms/0"),
    ("head", "norms/1"),
    ("out", "norms/2"),
]
X = jax.random.normal(jax.random.key(0), (3, 6, 4, 2))
answers = nnx.jit(lambda model, x: model(x))


def test_a_folded_network_gives_the_outputs_of_the_evaluated_one():
    model = Net()
    before = jax.tree.map(jnp.copy, nnx.state(model))
    folded = nn.fold_batch_norm(model, PAIRS)
    expected = answers(model, X)
    np.testing.assert_allclose(answers(folded, X), expected, rtol=2e-5, atol=2e-5)
    unfolded = nn.fold_batch_norm(model, PAIRS[1:])
    np.testing.assert_allclose(answers(unfolded, X), expected, rtol=2e-5, atol=2e-5)
    jax.tree.map(np.testing.assert_array_equal, nnx.state(model), before)
    assert not [module for _, module in nnx.iter_modules(folded) if isinstance(module, nnx.BatchNorm)]
    assert folded.conv1.use_bias
    assert folded.conv1.bias.shape == (4,)
    analog = nn.convert(folded, [nn.Rule("up", None), nn.Rule(".*", NEARLY_DIGITAL)], CHIP)
    np.testing.assert_allclose(answers(analog, X), expected, atol=2e-2)
    with pytest.raises(ValueError, match="`use_running_average` must not be False for a batch normalisation that was"):
        folded.norm1(X, use_running_average=False)


def test_neighbours_in_a_sequence_are_found():
    layers = [nnx.Linear(4, 6, rngs=RNGS), norm(6), nnx.relu, norm(6, 2), nnx.Linear(6, 3, rngs=RNGS), norm(3, 3)]
    model = nnx.Dict(body=nnx.Sequential(*layers))
    x = jax.random.normal(jax.random.key(1), (5, 4))
    folded = nn.fold_batch_norm(model)
    kinds = [type(layer).__name__ for layer in folded.body.layers if isinstance(layer, nnx.Module)]
    # What stands behind an activation stays.
    assert kinds == ["Linear", "FoldedNorm", "BatchNorm", "Linear", "FoldedNorm"]
    np.testing.assert_allclose(answers(folded.body, x), answers(model.body, x), rtol=2e-5, atol=2e-5)


class Standing(nnx.Module):
    """A layer in two places, one that is too wide, and one inside of a weight normalisation."""

    def __init__(self):
        self.conv = nnx.Conv(2, 4, (3, 3), rngs=RNGS)
        self.twice = nnx.Conv(2, 4, (3, 3), rngs=RNGS)
        self.again = nnx.Dict(layer=self.twice)
        self.tied = nnx.Conv(2, 4, (3, 3), rngs=RNGS)
        self.tied_too = nnx.Conv(2, 4, (3, 3), rngs=RNGS)
        self.tied_too.kernel = self.tied.kernel
        self.weighted = nnx.WeightNorm(nnx.Conv(2, 4, (3, 3), rngs=RNGS), rngs=RNGS)
        self.several = nnx.LinearGeneral(2, (2, 2), rngs=RNGS)
        self.norm = norm(4)
        self.narrow = norm(3)
        self.first = norm(4, axis=1)
        self.layer_norm = nnx.LayerNorm(4, rngs=RNGS)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([("conv", "narrow")], r"'narrow' must have the 4 output channels of layer 'conv', but has shape \(3,\)"),
        ([("conv", "first")], "Field `axis` of batch normalisation 'first' must be -1 to be folded, but is 1"),
        (
            [("conv", "layer_norm")],
            "'layer_norm' must be that of an nnx.BatchNorm, but it is a LayerNorm; paths .*'norm'",
        ),
        (
            [("cnv", "norm")],
            "Path 'cnv' must be that of an nnx.Linear, .*nnx.ConvTranspose, but there is none; .*'conv'",
        ),
        ([("norm", "norm")], "must name each module once, but names 'norm' several times"),
        ([("conv", "norm"), ("conv", "first")], "must name each module once, but names 'conv' several times"),
        ([("again/layer", "norm")], "'again/layer' must be used in one place to be folded, but the model holds it"),
        ([("tied", "norm")], "'tied' must be used in one place to be folded, but the model holds it, or its kernel"),
        ([("several", "norm")], r"'several' must have one axis of output channels .* shape \(2, 2, 2\)"),
        ([("weighted/layer_instance", "norm")], "gets its kernel from nnx.WeightNorm in every call"),
        (["conv"], r"Argument `pairs` must hold pairs of paths, .* but holds 'conv'"),
        ([], "Argument `pairs` must name a layer, but is empty"),
        (None, "The model has nothing to fold"),
    ],
)
def test_bad_folds_are_refused(pairs, message):
    with pytest.raises(ValueError, match=message):
        nn.fold_batch_norm(Standing(), pairs)


def test_bad_models_are_refused():
    analog = nn.convert(nnx.Sequential(nnx.Linear(4, 6, rngs=RNGS), norm(6)), NEARLY_DIGITAL)
    with pytest.raises(ValueError, match=r"Layer 'layers/0' is on tiles already; fold before `jaxaimc\.nn\.convert`"):
        nn.fold_batch_norm(analog)
    shared = nnx.Linear(4, 4, rngs=RNGS)
    with pytest.raises(ValueError, match="'layers/0' must be used in one place to be folded"):
        nn.fold_batch_norm(nnx.Sequential(shared, norm(4), shared))
    with pytest.raises(ValueError, match=r"Argument `model` must be a flax.nnx.Module"):
        nn.fold_batch_norm(nnx.BatchNorm)
