"""Sentences as vectors (Reimers and Gurevych, *Sentence-BERT*, 2019): similarity of pairs, and a linear classifier.

The vector of a sentence is the mean over its tokens. Two sentences are as similar as the cosine between theirs; a
classifier is a linear layer on the vector of length one, trained on the vectors of a frozen encoder.
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Integer

from jaxaimc._core.csv_files import read_rows

from .encoder import Encoder, mean_of_tokens

# Where the fit of a head ends: norm of the gradient, and steps.
_SLOPE, _STEPS = 1e-5, 1000


class SimilarPairs(nnx.Module):
    """Cosine between the vectors of two sentences.

    Args:
        encoder: The encoder.
    """

    def __init__(self, encoder: Encoder):
        self.encoder = encoder

    def __call__(self, tokens: Integer[Array, "batch 2 length"]) -> Float[Array, " batch"]:
        """Compare pairs of sentences, 0 for padding."""
        vectors = unit_vectors(self.encoder, tokens)
        return (vectors[:, 0] * vectors[:, 1]).sum(axis=-1)


class SentenceClassifier(nnx.Module):
    """Logits from the vector of a sentence.

    Args:
        encoder: The encoder.
        width: Features of its tokens.
        classes: Number of classes.
        rngs: Source of the head's initial weights.
    """

    def __init__(self, encoder: Encoder, *, width: int, classes: int, rngs: nnx.Rngs):
        self.encoder = encoder
        self.head = nnx.Linear(width, classes, rngs=rngs)

    def __call__(self, tokens: Integer[Array, "batch length"]) -> Float[Array, "batch classes"]:
        """Classify sentences, 0 for padding."""
        return self.head(unit_vectors(self.encoder, tokens))


def unit_vectors(encoder: Encoder, tokens: Integer[Array, "*batch length"]) -> Float[Array, "*batch width"]:
    """Return the vectors of sentences, of length one.

    Args:
        encoder: The encoder.
        tokens: Token numbers, 0 for padding.
    """
    vectors = mean_of_tokens(encoder(tokens), tokens != 0)
    return vectors / jnp.maximum(jnp.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def vectors_of(
    encoder: Encoder, tokens: Integer[np.ndarray, "n length"], *, batch: int = 128
) -> Float[np.ndarray, "n width"]:
    """Compute the vectors of many sentences.

    Sentences of like length are computed together, cut to the longest of them: padding costs as much as text.

    Args:
        encoder: The encoder.
        tokens: Token numbers, 0 for padding.
        batch: Sentences computed at once.

    Returns:
        Their vectors, of length one.
    """
    graph, state = nnx.split(encoder)
    call = jax.jit(lambda state, tokens: unit_vectors(nnx.merge(graph, state, copy=True), tokens))
    lengths = (tokens != 0).sum(axis=1)
    order = np.argsort(lengths, kind="stable")
    found = []
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        length = min(-(-int(lengths[chosen].max()) // 16) * 16, tokens.shape[1])
        padded = np.zeros((batch, length), tokens.dtype)
        padded[: len(chosen)] = tokens[chosen, :length]
        found.append(np.asarray(call(state, padded))[: len(chosen)])
    result = np.empty((len(order), found[0].shape[1]), found[0].dtype)
    result[order] = np.concatenate(found)
    return result


def logistic_head(
    vectors: Float[np.ndarray, "n width"], labels: Integer[np.ndarray, " n"], classes: int, *, strength: float = 10.0
) -> tuple[Float[Array, "width classes"], Float[Array, " classes"]]:
    """Fit a linear classifier: the smallest `|W|^2 / 2 + strength sum(cross-entropy)`, found by L-BFGS.

    It stops where the gradient of the mean is below 1e-5, or after 1,000 steps.

    Args:
        vectors: A vector for each example.
        labels: Their labels, 0 to classes - 1.
        classes: Number of classes.
        strength: Weight of the examples against the size of the weights, `C` of scikit-learn's LogisticRegression.

    Returns:
        Kernel and bias.
    """
    return _fitted(jnp.asarray(vectors), jnp.asarray(labels), jnp.zeros((vectors.shape[1], classes)), strength)


@jax.jit
def _fitted(
    x: Float[Array, "n width"], y: Integer[Array, " n"], start: Float[Array, "width classes"], strength: float
) -> tuple[Float[Array, "width classes"], Float[Array, " classes"]]:
    def loss(head: tuple[Array, Array]) -> Array:
        entropy = optax.softmax_cross_entropy_with_integer_labels(x @ head[0] + head[1], y)
        return entropy.mean() + jnp.sum(head[0] ** 2) / (2 * strength * len(x))

    solver = optax.lbfgs()
    value_and_grad = optax.value_and_grad_from_state(loss)

    def step(carry: tuple) -> tuple:
        head, state, _, count = carry
        value, grad = value_and_grad(head, state=state)
        updates, state = solver.update(grad, state, head, value=value, grad=grad, value_fn=loss)
        slope = jnp.sqrt(sum(jnp.vdot(g, g) for g in jax.tree.leaves(grad)))
        return optax.apply_updates(head, updates), state, slope, count + 1

    def goes_on(carry: tuple) -> Array:
        return (carry[2] > _SLOPE) & (carry[3] < _STEPS)

    first = start, jnp.zeros(start.shape[1])
    return jax.lax.while_loop(goes_on, step, (first, solver.init(first), jnp.inf, 0))[0]


def read_pairs(path: Path, *, longest: float = 5.0) -> list[tuple[str, str, float]]:
    """Read pairs of sentences with the similarity that people gave them.

    Args:
        path: Table with the columns score, sentence1 and sentence2 in any order, others ignored: a `.tsv` file, whose
            entries stand between tabs as they are, or a `.csv` file.
        longest: Score of equal sentences.

    Returns:
        First sentence, second sentence, score from 0 to 1.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such table.
    """
    columns = ("score", "sentence1", "sentence2")
    found = []
    for line, row in (
        read_rows(path, "Data file", columns, others=True) if path.suffix == ".csv" else _tabbed(path, columns)
    ):
        try:
            score = float(row["score"]) / longest
        except ValueError:
            score = -1.0
        if not 0 <= score <= 1 or not row["sentence1"].strip() or not row["sentence2"].strip():
            raise ValueError(
                f"Data file {str(path)!r}, line {line}, must have a score from 0 to {longest:g} and two sentences, but "
                f"has {row['score']!r}, {row['sentence1']!r} and {row['sentence2']!r}."
            )
        found.append((row["sentence1"], row["sentence2"], score))
    if not found:
        raise ValueError(f"Data file {str(path)!r} must hold at least one pair of sentences, but holds none.")
    return found


def _tabbed(path: Path, columns: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    if not path.is_file():
        raise FileNotFoundError(f"There is no data file {str(path)!r}.")
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"Data file {str(path)!r} must be text in UTF-8, but is not from byte {error.start} on."
        ) from error
    names = [name.strip() for name in lines[0].split("\t")]
    if not set(columns) <= set(names) or len(set(names)) != len(names):
        raise ValueError(
            f"Data file {str(path)!r} must have the columns {', '.join(columns)} between tabs, each once, but has "
            f"{', '.join(names)}."
        )
    found = []
    for number, line in enumerate(lines[1:], start=2):
        entries = line.rstrip("\r").split("\t")
        if entries == [""]:
            continue
        if len(entries) != len(names):
            raise ValueError(
                f"Data file {str(path)!r}, line {number}, must have {len(names)} entries between tabs, but has "
                f"{len(entries)}."
            )
        found.append((number, dict(zip(names, entries, strict=True))))
    return found


def squared_error(outputs: Float[Array, " batch"], targets: Float[Array, " batch"]) -> Float[Array, " batch"]:
    """Return the squared difference between similarities, the loss of each pair (Reimers and Gurevych 2019, 3).

    Args:
        outputs: Cosines.
        targets: Similarities from 0 to 1.
    """
    return (outputs - targets) ** 2
