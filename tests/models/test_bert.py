"""BERT and ALBERT against Hugging Face's own implementations and against their equations, and on tiles."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import onnx_files
import pytest
import safetensors.numpy
import scipy.special
from flax import nnx

from jaxaimc import AnalogConfig, adcs, devices, nn, wires
from models import albert, bert
from models.encoder import Encoder, EncoderConfig, mean_of_tokens

# Outputs of BertForSequenceClassification and AlbertForSequenceClassification with random weights (drawn with seed 0),
# computed by transformers 5.24.0 on torch 2.14.1; `config` holds the entries of config.json as bytes.
REFERENCE = Path(__file__).parent / "references" / "encoders.npz"
KINDS = {"bert": bert, "albert": albert}


@pytest.fixture(scope="module")
def reference():
    with np.load(REFERENCE) as archive:
        return {name: archive[name] for name in archive.files}


def written(folder, reference, kind, *, prefix=True, head=True, **changes):
    """Write a checkpoint as Hugging Face does, and return its sizes and its path."""
    entries = json.loads(bytes(reference[f"{kind}/config"])) | changes
    (folder / "config.json").write_text(json.dumps(entries))
    start = f"{kind}/weights/"
    found = {name.removeprefix(start): array for name, array in reference.items() if name.startswith(start)}
    if not head:
        found = {name: array for name, array in found.items() if "classifier" not in name}
    if not prefix:
        found = {name.removeprefix(f"{kind}."): array for name, array in found.items()}
    path = folder / "model.safetensors"
    safetensors.numpy.save_file(found, path)
    return KINDS[kind].config(folder / "config.json"), path


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("prefix", [True, False])
def test_the_encoder_equals_hugging_faces(tmp_path, reference, kind, prefix):
    encoder = KINDS[kind].load(*reversed(written(tmp_path, reference, kind, prefix=prefix, head=prefix)))
    tokens, types = (jnp.array(reference[name], jnp.int32) for name in ("tokens", "types"))
    present = np.asarray(tokens != 0)
    found, expected = np.asarray(run(encoder, tokens, types)), reference[f"{kind}/hidden"]
    np.testing.assert_allclose(found[present], expected[present], rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_classifier_equals_hugging_faces(tmp_path, reference, kind):
    network = KINDS[kind].load_classifier(*reversed(written(tmp_path, reference, kind)))
    tokens, types = (jnp.array(reference[name], jnp.int32) for name in ("tokens", "types"))
    np.testing.assert_allclose(run(network, tokens, types), reference[f"{kind}/logits"], rtol=2e-5, atol=2e-5)


def test_an_exported_model_is_the_same_encoder(tmp_path, reference):
    """Linear layers as exporters write them: `[in, out]`, named by a number alone, their biases by name."""
    sizes, path = written(tmp_path, reference, "bert")
    tensors, nodes = [onnx_files.tensor("val_8", np.array([1], np.int64), 7)], []
    for name, array in safetensors.numpy.load_file(path).items():
        name = name.replace("bert.", "inner.")
        if "classifier" in name or "pooler" in name:
            continue
        if array.ndim == 2 and "embeddings" not in name:
            number = f"val_{2 * len(tensors)}"
            nodes.append(onnx_files.node("MatMul", ["x", number], [f"{number}_y"]))
            nodes.append(onnx_files.node("Add", [f"{number}_y", name.replace("weight", "bias")], [f"{number}_z"]))
            name, array = number, np.ascontiguousarray(array.T)
        tensors.append(onnx_files.tensor(name, array, 1))
    exported = tmp_path / "model.onnx"
    exported.write_bytes(onnx_files.model(tensors, nodes))
    expected = nnx.to_flat_state(nnx.state(bert.load(path, sizes)))
    found = dict(nnx.to_flat_state(nnx.state(bert.load(exported, sizes))))
    assert len(found) == len(expected)
    for where, variable in expected:
        np.testing.assert_array_equal(found[where][...], variable[...])


def test_bert_equals_its_equations(tmp_path, reference):
    """NumPy in float64, written from the paper, on one sentence without its padding."""
    encoder = bert.load(*reversed(written(tmp_path, reference, "bert")))
    w = {k.removeprefix("bert/weights/bert."): v.astype(np.float64) for k, v in reference.items() if "/weights/" in k}

    def norm(x, name):
        x = x - x.mean(-1, keepdims=True)
        return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-12) * w[f"{name}.weight"] + w[f"{name}.bias"]

    def dense(x, name):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    sentence = [5, 7, 1, 3]
    tables = [w[f"embeddings.{name}_embeddings.weight"] for name in ("word", "position", "token_type")]
    x = norm(tables[0][sentence] + tables[1][:4] + tables[2][0], "embeddings.LayerNorm")
    for i in range(2):
        layer = f"encoder.layer.{i}"
        parts = [dense(x, f"{layer}.attention.self.{n}").reshape(4, 4, 4) for n in ("query", "key", "value")]
        mixed = []
        for head in range(4):
            q, k, v = (part[:, head] for part in parts)
            mixed.append(scipy.special.softmax(q @ k.T / 2, axis=-1) @ v)
        y = np.concatenate(mixed, axis=-1)
        x = norm(x + dense(y, f"{layer}.attention.output.dense"), f"{layer}.attention.output.LayerNorm")
        y = dense(x, f"{layer}.intermediate.dense")
        y = y * scipy.special.ndtr(y)
        x = norm(x + dense(y, f"{layer}.output.dense"), f"{layer}.output.LayerNorm")
    found = run(encoder, jnp.array([[*sentence, 0, 0]]))
    np.testing.assert_allclose(found[0, :4], x, rtol=1e-5, atol=1e-5)
    mean = mean_of_tokens(found, jnp.array([[True] * 4 + [False] * 2]))
    np.testing.assert_allclose(mean[0], x.mean(0), rtol=1e-5, atol=1e-5)


def test_pairs_of_sentences_are_sentences(tmp_path, reference):
    encoder = bert.load(*reversed(written(tmp_path, reference, "bert")))
    tokens = jnp.array(reference["tokens"], jnp.int32)[:2]
    both, alone = run(encoder, jnp.stack([tokens, tokens[::-1]], axis=1)), run(encoder, tokens)
    np.testing.assert_allclose(both[:, 0], alone, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(both[:, 1], alone[::-1], rtol=1e-5, atol=1e-5)


def run(network, *inputs):
    """Call a network in one compiled program, which takes less time than its operations one by one."""
    graph, state = nnx.split(network)
    return jax.jit(lambda state, *inputs: nnx.merge(graph, state)(*inputs))(state, *inputs)


IDEAL = AnalogConfig(device=devices.IdealDevice(), wires=wires.NoWires(), adc=adcs.IdealADC())


def test_one_block_is_one_set_of_tiles_read_anew_at_each_use(tmp_path, reference):
    encoder = albert.load(*reversed(written(tmp_path, reference, "albert")))
    tokens = jnp.array(reference["tokens"], jnp.int32)
    paths = [product.path for product in nn.products(nn.convert(encoder, IDEAL)) if product.analog]
    assert len(paths) == 1 + 6  # the projection; query, key, value, out and two of the perceptron, once
    seen = []

    class Watch(nn.Hook):
        needs_key = True

        def after(self, call, outputs):
            seen.append((str(jax.random.key_data(call.key)), np.asarray(call.prepared.matrix)))
            return outputs

    chip = nn.convert(encoder, [nn.Rule("blocks/0/mlp_in", IDEAL)], key=jax.random.key(0))
    analog = nn.attach(chip, lambda dot: Watch())
    nn.with_read_key(analog, jax.random.key(1))(tokens)
    keys, matrices = zip(*seen, strict=True)
    assert len(set(keys)) == len(keys) == 3
    np.testing.assert_array_equal(matrices[0], matrices[1])
    np.testing.assert_array_equal(matrices[0], matrices[2])


@pytest.mark.parametrize("kind", KINDS)
def test_a_converted_encoder_is_the_digital_one_in_its_digital_view(tmp_path, reference, kind):
    encoder = KINDS[kind].load(*reversed(written(tmp_path, reference, kind)))
    tokens = jnp.array(reference["tokens"], jnp.int32)
    analog = nn.convert(encoder, IDEAL, key=jax.random.key(0))
    np.testing.assert_array_equal(run(nn.as_digital(analog), tokens), run(encoder, tokens))


def test_groups_of_layers_follow_one_another():
    sizes = {"vocabulary": 9, "width": 8, "embedding": 4, "heads": 2, "hidden": 8, "positions": 5}
    encoder = Encoder(EncoderConfig(**sizes, blocks=2, layers=4), rngs=nnx.Rngs(0))
    order = []
    encoder.blocks = nnx.static([lambda stream, mask, i=i: order.append(i) or stream for i in range(2)])
    encoder(jnp.array([[1, 2, 0]]))
    assert order == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("bert", {"model_type": "roberta"}, "must have the model_type 'bert', but has 'roberta'"),
        ("bert", {"hidden_act": "mish"}, "Entry 'hidden_act' .* must be one of 'gelu', .*, but is 'mish'"),
        ("bert", {"position_embedding_type": "relative_key"}, "must be 'absolute', but is 'relative_key'"),
        ("bert", {"pad_token_id": 1}, "Entry 'pad_token_id' .* must be 0, but is 1"),
        ("bert", {"num_attention_heads": 5}, "Field `heads` of EncoderConfig must divide `width` = 16, but is 5"),
        ("bert", {"vocab_size": "many"}, "vocabulary"),
        ("albert", {"inner_group_num": 2}, "Entry 'inner_group_num' .* must be 1, but is 2"),
        ("albert", {"num_hidden_groups": 2}, "Field `blocks` of EncoderConfig must divide `layers` = 3, but is 2"),
    ],
)
def test_bad_configurations_are_refused(tmp_path, reference, kind, changes, message):
    with pytest.raises(ValueError, match=message):
        written(tmp_path, reference, kind, **changes)


def test_bad_configuration_files_name_what_is_wrong(tmp_path):
    path = tmp_path / "config.json"
    with pytest.raises(FileNotFoundError, match="There is no configuration"):
        bert.config(path)
    for content, message in (("{", "is no JSON"), ("[1]", "must be a JSON object"), ("{}", "vocab_size, hidden_size")):
        path.write_text(content)
        with pytest.raises(ValueError, match=message):
            bert.config(path)


def test_bad_weights_say_what_does_not_fit(tmp_path, reference):
    _, path = written(tmp_path, reference, "bert")
    other = bert.config(tmp_path / "config.json")
    with pytest.raises(ValueError, match=r"do not fit the network: missing: 'blocks/2/.*"):
        bert.load(path, EncoderConfig(**{**vars(other), "layers": 3, "blocks": 3}))
    with pytest.raises(ValueError, match=r"wrong: .* has shape \(11, 16\) instead of \(12, 16\)"):
        bert.load(path, EncoderConfig(**{**vars(other), "vocabulary": 12}))
    sizes, path = written(tmp_path, reference, "bert", head=False)
    with pytest.raises(ValueError, match=r"must have a matrix 'classifier\.weight' to be a classifier"):
        bert.load_classifier(path, sizes)


def test_bad_tokens_are_refused():
    sizes = {"vocabulary": 9, "width": 8, "embedding": 8, "heads": 2, "hidden": 8, "positions": 5}
    encoder = Encoder(EncoderConfig(**sizes, blocks=1, layers=1), rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="must have at most 5 tokens in a row, but has 6"):
        encoder(jnp.ones((1, 6), jnp.int32))
    with pytest.raises(ValueError, match="must hold tokens 0 to 8, but holds 1 to 9"):
        encoder(jnp.array([[1, 9]]))
