"""LLaMA and GPT-2 networks from the files and names that Hugging Face's transformers library uses for them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from flax import nnx

from jaxaimc.tasks import hub

from ..gpt import GPT2
from ..llama import Llama
from . import read
from .names import Name, fill


def llama_names(width: int, heads: int) -> list[Name]:
    """Return the names of a LLaMA network's tensors.

    Args:
        width: Features of a token.
        heads: Query heads.

    Returns:
        Rules from names such as `model.layers.0.self_attn.q_proj.weight` to paths in `models.llama.Llama`.
    """
    features = width // heads

    def paired(w: np.ndarray) -> np.ndarray:
        # transformers turns feature i together with feature i + d/2, and stores queries and keys in that order; the
        # paper, and `models.llama.rotate`, turn neighbours.
        halves = w.reshape(-1, 2, features // 2, width)
        return halves.transpose(3, 0, 2, 1).reshape(width, -1, features)

    layer, block = r"model\.layers\.(\d+)\.", r"blocks/\1/"
    return [
        Name(r"model\.embed_tokens\.weight", "embedding/embedding"),
        Name(layer + r"input_layernorm\.weight", block + "attention_norm/scale"),
        Name(layer + r"self_attn\.q_proj\.weight", block + "attention/query/kernel", paired),
        Name(layer + r"self_attn\.k_proj\.weight", block + "attention/key/kernel", paired),
        Name(
            layer + r"self_attn\.v_proj\.weight",
            block + "attention/value/kernel",
            lambda w: w.T.reshape(width, -1, features),
        ),
        Name(
            layer + r"self_attn\.o_proj\.weight",
            block + "attention/out/kernel",
            lambda w: w.T.reshape(-1, features, width),
        ),
        Name(layer + r"post_attention_layernorm\.weight", block + "mlp_norm/scale"),
        Name(layer + r"mlp\.(gate|up|down)_proj\.weight", block + r"mlp/\2/kernel", "transpose"),
        Name(r"model\.norm\.weight", "norm/scale"),
        Name(r"lm_head\.weight", "head/kernel", "transpose"),
    ]


def gpt2_names(width: int, heads: int) -> list[Name]:
    """Return the names of a GPT-2 network's tensors after `split_attention`.

    Args:
        width: Features of a token.
        heads: Attention heads.

    Returns:
        Rules from names such as `transformer.h.0.mlp.c_fc.weight`, with or without the first part, to paths in
        `models.gpt.GPT2`. Matrices are stored as `[in, out]` there.
    """
    features = width // heads
    layer, block = r"(?:transformer\.)?h\.(\d+)\.", r"blocks/\1/"
    return [
        Name(r"(?:transformer\.)?wte\.weight", "embedding/embedding"),
        Name(r"(?:transformer\.)?wpe\.weight", "position"),
        Name(layer + r"ln_1\.weight", block + "attention_norm/scale"),
        Name(layer + r"ln_1\.bias", block + "attention_norm/bias"),
        Name(
            layer + r"attn\.(query|key|value)\.weight",
            block + r"attention/\2/kernel",
            lambda w: w.reshape(width, heads, features),
        ),
        Name(
            layer + r"attn\.(query|key|value)\.bias",
            block + r"attention/\2/bias",
            lambda b: b.reshape(heads, features),
        ),
        Name(
            layer + r"attn\.c_proj\.weight", block + "attention/out/kernel", lambda w: w.reshape(heads, features, width)
        ),
        Name(layer + r"attn\.c_proj\.bias", block + "attention/out/bias"),
        Name(layer + r"ln_2\.weight", block + "mlp_norm/scale"),
        Name(layer + r"ln_2\.bias", block + "mlp_norm/bias"),
        Name(layer + r"mlp\.c_fc\.weight", block + "mlp/up/kernel"),
        Name(layer + r"mlp\.c_fc\.bias", block + "mlp/up/bias"),
        Name(layer + r"mlp\.c_proj\.weight", block + "mlp/down/kernel"),
        Name(layer + r"mlp\.c_proj\.bias", block + "mlp/down/bias"),
        Name(r"(?:transformer\.)?ln_f\.weight", "norm/scale"),
        Name(r"(?:transformer\.)?ln_f\.bias", "norm/bias"),
    ]


def split_attention(tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Split the tensors that hold queries, keys and values of GPT-2 side by side.

    Args:
        tensors: Arrays by name. Those named `...attn.c_attn.weight` and `.bias` have three times the width on their
            last axis.

    Returns:
        The same with `...attn.query.weight`, `.key.` and `.value.` in their place.

    Raises:
        ValueError: If the last axis of such a tensor cannot be divided by three.
    """
    found = {}
    for name, array in tensors.items():
        if ".c_attn." not in name:
            found[name] = array
        elif array.ndim == 0 or array.shape[-1] % 3:
            raise ValueError(
                f"Tensor {name!r} must hold queries, keys and values side by side on its last axis, but has shape "
                f"{array.shape}."
            )
        else:
            parts = np.split(array, 3, axis=-1)
            found |= {name.replace("c_attn", part): w for part, w in zip(("query", "key", "value"), parts, strict=True)}
    return found


def llama(config: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> Llama:
    """Make a LLaMA network from its published config and tensors.

    Args:
        config: What `config.json` holds. Fields that are absent have the defaults of the transformers library.
        tensors: Arrays by name, from `models.weights.read`.

    Returns:
        The network with these weights.

    Raises:
        ValueError: If the config lacks a size or asks for what `models.llama.Llama` has not, or a tensor does not fit.
    """
    width, heads = _size(config, "hidden_size"), _size(config, "num_attention_heads")
    features = config.get("head_dim") or width // heads
    # Newer files have the base of the angles and their scaling in one entry; old ones write `type` for `rope_type`.
    scaled, parameters = config.get("rope_scaling") or {}, config.get("rope_parameters") or {}
    _refuse("hidden_act", config.get("hidden_act", "silu"), "silu")
    _refuse("head_dim", features, width // heads)
    for field in ("attention_bias", "mlp_bias"):
        _refuse(field, bool(config.get(field)), False)
    _refuse("rope_scaling", scaled.get("type", {**parameters, **scaled}.get("rope_type", "default")), "default")
    tied = bool(config.get("tie_word_embeddings", False))
    model = Llama(
        vocabulary=_size(config, "vocab_size"),
        length=_size(config, "max_position_embeddings", 2048),
        width=width,
        layers=_size(config, "num_hidden_layers"),
        heads=heads,
        kv_heads=_size(config, "num_key_value_heads", heads),
        hidden=_size(config, "intermediate_size"),
        tied=tied,
        epsilon=config.get("rms_norm_eps", 1e-6),
        base=config.get("rope_theta") or parameters.get("rope_theta", 10_000.0),
        rngs=nnx.Rngs(0),
    )
    names = llama_names(width, heads)
    # A tied head is stored a second time in some files.
    ignored = [r".*\.rotary_emb\.inv_freq", *([r"lm_head\.weight"] if tied else [])]
    return fill(model, tensors, names[:-1] if tied else names, ignore=ignored)


def gpt2(config: Mapping[str, Any], tensors: Mapping[str, np.ndarray]) -> GPT2:
    """Make a GPT-2 network from its published config and tensors.

    Args:
        config: What `config.json` holds. Fields that are absent have the defaults of the transformers library.
        tensors: Arrays by name, from `models.weights.read`.

    Returns:
        The network with these weights.

    Raises:
        ValueError: If the config lacks a size or asks for what `models.gpt.GPT2` has not, or a tensor does not fit.
    """
    width, heads = _size(config, "n_embd"), _size(config, "n_head")
    if config.get("activation_function", "gelu_new") != "gelu_pytorch_tanh":  # two names of one function
        _refuse("activation_function", config.get("activation_function", "gelu_new"), "gelu_new")
    _refuse("tie_word_embeddings", config.get("tie_word_embeddings", True), True)
    for field in ("scale_attn_by_inverse_layer_idx", "reorder_and_upcast_attn"):
        _refuse(field, bool(config.get(field)), False)
    model = GPT2(
        vocabulary=_size(config, "vocab_size"),
        length=_size(config, "n_positions", 1024),
        width=width,
        layers=_size(config, "n_layer"),
        heads=heads,
        hidden=config.get("n_inner") or 4 * width,
        epsilon=config.get("layer_norm_epsilon", 1e-5),
        rngs=nnx.Rngs(0),
    )
    # Masks that old files hold, and the tied head.
    ignored = [r".*\.attn\.(?:masked_)?bias", r"lm_head\.weight"]
    return fill(model, split_attention(tensors), gpt2_names(width, heads), ignore=ignored)


def load(folder: str | Path) -> Llama | GPT2:
    """Read a network from a folder as the Hugging Face hub has it.

    Args:
        folder: Folder with `config.json` and `model.safetensors`, or a model of the hub, `hf://owner/name`.

    Returns:
        The network with its weights.

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If a file is damaged, or the network is neither LLaMA nor GPT-2.
    """
    folder = hub.folder(folder, ["config.json", "model.safetensors"])
    path = folder / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"There is no config file {str(path)!r}.")
    try:
        config = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"Config file {str(path)!r} is no JSON: {error}.") from error
    kind = config.get("model_type") if isinstance(config, dict) else None
    makers = {"llama": llama, "gpt2": gpt2}
    if kind not in makers:
        raise ValueError(f"Config file {str(path)!r} must have the `model_type` 'llama' or 'gpt2', but has {kind!r}.")
    return makers[kind](config, read(folder / "model.safetensors"))


def _size(config: Mapping[str, Any], field: str, default: int | None = None) -> int:
    value = config.get(field)
    if value is None:
        value = default
    if type(value) is not int or value < 1:
        raise ValueError(f"Field `{field}` of the network's config must be a positive whole number, but is {value!r}.")
    return value


def _refuse(field: str, value: Any, known: Any) -> None:
    if value != known:
        raise ValueError(f"Field `{field}` of the network's config must be {known!r}, but is {value!r}.")
