"""Files of llama2.c and of transformers' names, written here from the formats' descriptions; the tokenizer's merges."""

import dataclasses
import json
import struct
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy
from test_decoder import TEXT, gpt, llama, logits_of, weights_of

from models.weights import decoders, llama2c, llama2c_tokens

WIDTH, HIDDEN, LAYERS, HEADS, KV_HEADS, VOCABULARY, LENGTH = 16, 20, 2, 4, 2, 13, 16


def llama2c_file(model, tied):
    """Header and tensors in the order of the format's exporter (llama2.c, `export.py`, version 0)."""
    w = weights_of(model)
    out = struct.pack("<7i", WIDTH, HIDDEN, LAYERS, HEADS, KV_HEADS, VOCABULARY if tied else -VOCABULARY, LENGTH)
    parts = [w["embedding/embedding"]]
    for name, columns in (
        ("attention_norm/scale", None), ("attention/query/kernel", -1), ("attention/key/kernel", -1),
        ("attention/value/kernel", -1), ("attention/out/kernel", WIDTH), ("mlp_norm/scale", None),
        ("mlp/gate/kernel", HIDDEN), ("mlp/down/kernel", WIDTH), ("mlp/up/kernel", HIDDEN),
    ):  # fmt: skip
        for i in range(LAYERS):
            array = w[f"blocks/{i}/{name}"]
            if columns is not None:  # a matrix as [out, in]
                array = (array.reshape(WIDTH, -1) if columns == -1 else array.reshape(-1, columns)).T
            parts.append(array)
    parts += [w["norm/scale"], np.full((LENGTH, 2), np.nan), np.full((LENGTH, 2), np.nan)]
    parts += [] if tied else [w["head/kernel"].T]
    return out + b"".join(np.ascontiguousarray(part, "<f4").tobytes() for part in parts)


@pytest.mark.parametrize("tied", [False, True])
def test_a_file_gives_its_network(tied, tmp_path):
    model, path = llama(tied), tmp_path / "model.bin"
    path.write_bytes(llama2c_file(model, tied))
    found = llama2c.load(path)
    for name, array in weights_of(found).items():
        np.testing.assert_array_equal(array, weights_of(model)[name], err_msg=name)
    assert set(weights_of(found)) == set(weights_of(model))
    sizes, tensors = llama2c.read(path)
    assert dataclasses.astuple(sizes) == (WIDTH, HIDDEN, LAYERS, HEADS, KV_HEADS, VOCABULARY, LENGTH, tied)
    assert tensors["blocks/1/mlp/down/kernel"].shape == (WIDTH, HIDDEN)
    assert (found.length, found.vocabulary) == (LENGTH, VOCABULARY)


def test_bad_files_are_explained(tmp_path):
    path, whole = tmp_path / "model.bin", llama2c_file(llama(), False)
    with pytest.raises(FileNotFoundError, match=r"no weights file .*model\.bin"):
        llama2c.load(path)
    for content, message in [
        (b"", "must begin with seven 32-bit integers .* but holds 0 bytes"),
        (whole[:20], "but holds 20 bytes"),
        (whole[:-4], f"must hold {len(whole)} bytes by its header .* but holds {len(whole) - 4}: it is truncated"),
        (whole + b"1234", f"but holds {len(whole) + 4}"),
        (b"PK\x03\x04" + whole[4:], "must begin with seven sizes that fit each other .* but begins with"),
        (struct.pack("<7i", 16, 20, 2, 3, 3, 13, 16) + whole[28:], r"but begins with \[16, 20, 2, 3, 3, 13, 16\]"),
        (struct.pack("<7i", 16, 20, 2, 4, 3, 13, 16) + whole[28:], "must begin with seven sizes"),
        (struct.pack("<7i", 16, 20, 2, 0, 0, 13, 16) + whole[28:], "must begin with seven sizes"),
        (struct.pack("<7i", *[2**24 - 1] * 2, 2**24 - 1, 1, 1, 13, 16), "must begin with seven sizes"),
        (struct.pack("<7i", *[2**23] * 7), "must begin with seven sizes"),
        (struct.pack("<7i", 2**23, 2**23, 2**23, 1, 1, 2**23, 2**23), r"must hold \d{20,} bytes by its header"),
    ]:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"Weights file '.*model\.bin' .*{message}"):
            llama2c.load(path)


def hugging_face(model):
    """The tensors as transformers names and orders them: features i and i + d/2 of a head are turned together."""
    w, found = weights_of(model), {}

    def halves(kernel):
        pairs = kernel.transpose(1, 2, 0).reshape(kernel.shape[1], -1, 2, WIDTH)
        return pairs.swapaxes(1, 2).reshape(-1, WIDTH)

    found["model.embed_tokens.weight"] = w["embedding/embedding"]
    for i in range(LAYERS):
        own, other = f"blocks/{i}/", f"model.layers.{i}."
        for part, letter in (("query", "q"), ("key", "k")):
            found[f"{other}self_attn.{letter}_proj.weight"] = halves(w[f"{own}attention/{part}/kernel"])
        found[f"{other}self_attn.v_proj.weight"] = w[own + "attention/value/kernel"].reshape(WIDTH, -1).T
        found[f"{other}self_attn.o_proj.weight"] = w[own + "attention/out/kernel"].reshape(-1, WIDTH).T
        for part in ("gate", "up", "down"):
            found[f"{other}mlp.{part}_proj.weight"] = w[f"{own}mlp/{part}/kernel"].T
        found[other + "input_layernorm.weight"] = w[own + "attention_norm/scale"]
        found[other + "post_attention_layernorm.weight"] = w[own + "mlp_norm/scale"]
        found[other + "self_attn.rotary_emb.inv_freq"] = np.zeros(2)
    found["model.norm.weight"] = w["norm/scale"]
    found["lm_head.weight"] = w["head/kernel"].T if "head/kernel" in w else w["embedding/embedding"]
    return {name: np.ascontiguousarray(array, np.float32) for name, array in found.items()}


# Logits of LlamaForCausalLM and GPT2LMHeadModel with random weights (drawn with seed 0) by transformers 5.24.0 on torch
# 2.14.1; `config` holds the entries of config.json as bytes.
REFERENCE = Path(__file__).parent / "references" / "decoders.npz"


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_logits_equal_those_of_transformers(kind, tmp_path):
    with np.load(REFERENCE) as archive:
        (tmp_path / "config.json").write_bytes(bytes(archive[f"{kind}/config"]))
        start = f"{kind}/weights/"
        tensors = {name.removeprefix(start): archive[name] for name in archive.files if name.startswith(start)}
        tokens, logits = archive["tokens"], archive[f"{kind}/logits"]
    safetensors.numpy.save_file(tensors, tmp_path / "model.safetensors")
    found = logits_of(decoders.load(tmp_path), jnp.array(tokens))
    np.testing.assert_allclose(found, logits, rtol=1e-5, atol=2e-5)


LLAMA_CONFIG = {
    "model_type": "llama", "hidden_size": WIDTH, "intermediate_size": HIDDEN, "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "vocab_size": VOCABULARY,
    "max_position_embeddings": LENGTH, "rms_norm_eps": 1e-5, "rope_theta": 10_000.0, "hidden_act": "silu",
}  # fmt: skip


@pytest.mark.parametrize("tied", [False, True])
def test_a_folder_of_the_hub_gives_its_llama(tied, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_CONFIG | {"tie_word_embeddings": tied}))
    safetensors.numpy.save_file(hugging_face(llama(tied)), tmp_path / "model.safetensors")
    found = decoders.load(tmp_path)
    np.testing.assert_array_equal(logits_of(found, jnp.array(TEXT)), logits_of(llama(tied), jnp.array(TEXT)))


GPT_CONFIG = {
    "model_type": "gpt2", "n_embd": WIDTH, "n_layer": LAYERS, "n_head": HEADS, "n_positions": LENGTH, "n_inner": 24,
    "vocab_size": VOCABULARY, "activation_function": "gelu_new",
}  # fmt: skip


@pytest.mark.parametrize("prefix", ["", "transformer."])
def test_a_folder_of_the_hub_gives_its_gpt2(prefix, tmp_path):
    w, found = weights_of(gpt()), {}
    found["wte.weight"], found["wpe.weight"] = w["embedding/embedding"], w["position"]
    for i in range(LAYERS):
        own, other = f"blocks/{i}/", f"h.{i}."
        for kind, name in (("kernel", "weight"), ("bias", "bias")):
            shape = (WIDTH, -1) if kind == "kernel" else (-1,)
            qkv = [w[f"{own}attention/{part}/{kind}"].reshape(shape) for part in ("query", "key", "value")]
            found[f"{other}attn.c_attn.{name}"] = np.concatenate(qkv, axis=-1)
            found[f"{other}attn.c_proj.{name}"] = w[f"{own}attention/out/{kind}"].reshape(*shape[:-1], -1)
            found[f"{other}mlp.c_fc.{name}"] = w[f"{own}mlp/up/{kind}"]
            found[f"{other}mlp.c_proj.{name}"] = w[f"{own}mlp/down/{kind}"]
        for norm, own_norm in (("ln_1", "attention_norm"), ("ln_2", "mlp_norm")):
            found[f"{other}{norm}.weight"] = w[f"{own}{own_norm}/scale"]
            found[f"{other}{norm}.bias"] = w[f"{own}{own_norm}/bias"]
        found[f"{other}attn.bias"] = np.ones((1, 1, LENGTH, LENGTH))
    found["ln_f.weight"], found["ln_f.bias"] = w["norm/scale"], w["norm/bias"]
    tensors = {prefix + name: np.ascontiguousarray(array, np.float32) for name, array in found.items()}
    (tmp_path / "config.json").write_text(json.dumps(GPT_CONFIG))
    safetensors.numpy.save_file(tensors, tmp_path / "model.safetensors")
    loaded = decoders.load(tmp_path)
    np.testing.assert_array_equal(logits_of(loaded, jnp.array(TEXT)), logits_of(gpt(), jnp.array(TEXT)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"hidden_act": "gelu"}, "`hidden_act` .* must be 'silu', but is 'gelu'"),
        (
            {"rope_scaling": {"rope_type": "llama3", "factor": 8.0}},
            "`rope_scaling` .* must be 'default', but is 'llama3'",
        ),
        ({"rope_scaling": {"type": "linear", "factor": 2.0}}, "must be 'default', but is 'linear'"),
        ({"attention_bias": True}, "`attention_bias` .* must be False, but is True"),
        ({"head_dim": 8}, "`head_dim` .* must be 4, but is 8"),
        ({"vocab_size": None}, "`vocab_size` .* must be a positive whole number, but is None"),
        ({"num_hidden_layers": 0}, "`num_hidden_layers` .* must be a positive whole number, but is 0"),
    ],
)
def test_bad_configs_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        decoders.llama(LLAMA_CONFIG | change, {})


def test_bad_folders_are_explained(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no config file .*config\.json"):
        decoders.load(tmp_path)
    for content, message in [("{", "is no JSON"), ('{"model_type": "bert"}', "'llama' or 'gpt2', but has 'bert'")]:
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(ValueError, match=rf"Config file '.*config\.json' .*{message}"):
            decoders.load(tmp_path)
    with pytest.raises(ValueError, match=r"must hold queries, keys and values side by side .* shape \(7,\)"):
        decoders.gpt2(GPT_CONFIG, {"h.0.attn.c_attn.bias": np.zeros(7)})


PIECES = ["a", "b", "c", " ", " a", "ab", "bc", "abc", "aa", "é", "bb"]
SCORES = [-9, -9, -9, -9, -3, -2, -1, -5, -4, -9, -4]
MARKS = [b"<unk>", b"\n<s>\n", b"\n</s>\n", *(b"<0x%02X>" % byte for byte in range(256))]


def tokenizer_file(pieces=PIECES, scores=SCORES):
    entries = [(mark, 0.0) for mark in MARKS]
    entries += [(piece.encode(), score) for piece, score in zip(pieces, scores, strict=True)]
    longest = max(len(piece) for piece, _ in entries)
    packed = [struct.pack("<fi", score, len(piece)) + piece for piece, score in entries]
    return struct.pack("<i", longest) + b"".join(packed)


@pytest.fixture
def tokenizer(tmp_path):
    (tmp_path / "tok.bin").write_bytes(tokenizer_file())
    return llama2c_tokens.read(tmp_path / "tok.bin", len(MARKS) + len(PIECES))


def test_pairs_are_joined_by_score(tokenizer):
    def pieces(text):
        return [tokenizer.pieces[token].decode() for token in tokenizer.encode(text, begin=False)]

    assert pieces("") == []
    # "bc" (-1) goes before "ab" (-2), after which "abc" can be made of "a" and "bc", but " a" (-3) goes before it.
    assert pieces("abc") == [" a", "bc"]
    assert pieces("babc") == [" ", "b", "abc"]
    # Of equal pairs the first is joined: "aa" then leaves an odd "a".
    assert pieces("baaa") == [" ", "b", "aa", "a"]
    assert pieces("é") == [" ", "é"]
    assert pieces("ü") == [" ", "<0xC3>", "<0xBC>"]
    assert tokenizer.encode("b") == [1, *tokenizer.encode("b", begin=False)]
    assert tokenizer.encode("b", end=True)[-1] == 2


@pytest.mark.parametrize("text", ["", "abcabc", " a  b\n", "naïve 😀 \x00", "日本"])
def test_text_comes_back(tokenizer, text):
    assert tokenizer.decode(tokenizer.encode(text, end=True)) == text


def test_unfinished_characters_are_marked(tokenizer):
    assert tokenizer.decode(tokenizer.encode("aü")[:-1]) == "a\ufffd"


def test_bad_tokenizers_are_explained(tmp_path):
    path, whole, count = tmp_path / "tok.bin", tokenizer_file(), len(MARKS) + len(PIECES)
    with pytest.raises(FileNotFoundError, match=r"no tokenizer file .*tok\.bin"):
        llama2c_tokens.read(path, count)
    for content, message in [
        (b"", "is truncated or not in the format .* entry 0, at byte 4 of 0"),
        (whole[:-1], f"truncated .* entry {count - 1}, "),
        (b"\x00" * 100, "must have 270 tokens, but has 12"),
        (b"PK\x03\x04" + b"\xff" * 50, "entry 0, at byte 4 of 54, is no token"),
        (tokenizer_file(PIECES[:-1], SCORES[:-1]), f"must have {count} tokens, but has {count - 1}"),
        (whole.replace(b"<0x41>", b"<0x42>"), "must have the byte 65 as token 68, written '<0x41>', but has b'<0x42>'"),
    ]:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"Tokenizer file '.*tok\.bin' .*{message}"):
            llama2c_tokens.read(path, count)


def test_bad_tokens_are_refused(tokenizer):
    with pytest.raises(ValueError, match="tokens 0 to 269, but holds 270"):
        tokenizer.decode([1, 270])
    with pytest.raises(ValueError, match="one entry for each of the 270 pieces, but has 0"):
        llama2c_tokens.Tokenizer(tokenizer.pieces, ())
    with pytest.raises(ValueError, match=r"at least 259 entries .* but has 1"):
        llama2c_tokens.Tokenizer((b"a",), (0.0,))
