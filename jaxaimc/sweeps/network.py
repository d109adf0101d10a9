"""The score of a network on a chip, and what its inference costs."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Key, Num

from jaxaimc import cost as costs
from jaxaimc import nn
from jaxaimc._core.arguments import check_time
from jaxaimc._core.checks import check_integer, warn_of_lost_inputs
from jaxaimc.calibration import GlobalCompensation
from jaxaimc.config import AnalogConfig
from jaxaimc.config.encode import encoded
from jaxaimc.nn.activity import layer_inputs, with_activity_of
from jaxaimc.nn.walk import analog_layers
from jaxaimc.sweeps.layer import COST_COLUMNS, cost_figures, notes_of_parts, residual_of
from jaxaimc.sweeps.measure import Columns, Found, Measure, digest, not_finite
from jaxaimc.tasks import Task, check_contract, load_model, load_task
from jaxaimc.tasks.chips import lost_inputs
from jaxaimc.tasks.corpus import Corpus

# As `jaxaimc evaluate` has it: test examples from which the activity of rows, lost inputs and the cost are known.
_PROFILED = 64
_LOOKED_AT = 250
_COSTED = 16


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class NetworkScore(Measure):
    """Score and loss of a network on one chip; made by `of`.

    Figures: `score`, the task's own, as the row "everything" of `jaxaimc evaluate` has it for the same seed, chip and
    examples; `loss`, the mean of the task's loss; `residual`, how far the wires' own check is off at worst, of the
    largest output [1]; with costs, `energy` [J] and `latency` [s] of an inference, `area` [m^2], and `cost_outside`,
    how many ranges are left in which the sources vouch for their parts.

    Attributes:
        state: Variables of the network, as NumPy arrays.
        inputs: Examples.
        targets: Their targets.
        known: Input vectors of layers and their number, where the cost or the wires need them; None elsewhere.
        hardware: What tiles are made of, for the cost; None for no cost.
        graph: Structure of the network.
        score: Score of each example, or of all together.
        loss: Loss of each example.
        metric: What the score is called.
        batch: Examples computed at once.
        t: Time of the read since programming [s]; None for right after it.
        compensated: Whether drift is compensated.
        origin: Import path of the task, folder of its data, checkpoint and number of examples, where the network is the
            task's own.
        name: What the facts call the task.
    """

    state: Any
    inputs: Num[np.ndarray, "example ..."]
    targets: Num[np.ndarray, "example ..."]
    known: Any
    hardware: costs.Hardware | None
    graph: Any = dataclasses.field(metadata={"static": True})
    score: Any = dataclasses.field(metadata={"static": True})
    loss: Any = dataclasses.field(metadata={"static": True})
    metric: str = dataclasses.field(metadata={"static": True})
    batch: int = dataclasses.field(metadata={"static": True})
    t: float | None = dataclasses.field(metadata={"static": True})
    compensated: bool = dataclasses.field(metadata={"static": True})
    origin: tuple[Any, ...] | None = dataclasses.field(metadata={"static": True})
    name: str = dataclasses.field(metadata={"static": True})

    @classmethod
    def of(
        cls,
        task: Task | str,
        model: nnx.Module | None = None,
        *,
        examples: int | None = None,
        batch: int = 250,
        t: float | None = None,
        compensated: bool = False,
        cost: bool = False,
        hardware: costs.Hardware | None = None,
        data: Any = None,
        checkpoint: Any = None,
    ) -> "NetworkScore":
        """Make the measure of a network.

        Args:
            task: Network, data and metric, or their import path, such as `"jaxaimc_models.vit:fashion_mnist"`. By its
                path and without `model`, a measure travels to other processes as these few words, and they load the
                network themselves.
            model: Trained network, digital; it stays as it is. The task's own by default.
            examples: Test examples, from the first; all by default.
            batch: Examples computed at once. Results do not depend on it.
            t: Time of the read since programming [s]; right after it, without drift, by default.
            compensated: Whether drift is compensated.
            cost: Whether energy, latency and area are measured too.
            hardware: What tiles are made of; `jaxaimc.cost.Hardware()` by default.
            data: Folder of the task's data, where `task` is a path; its own by default.
            checkpoint: File of weights, where there is no `model`; the task's own by default.

        Raises:
            ValueError: If an argument is out of range, or the network does not fit the task.
            FileNotFoundError: If data or weights are missing.

        Example:
            >>> from jaxaimc import presets
            >>> measure = NetworkScore.of("jaxaimc_models.vit:fashion_mnist", examples=8)
            >>> measure.columns
            {'score': '', 'loss': '', 'residual': ''}
        """
        check_integer("NetworkScore", "batch", batch, low=1)
        if t is not None:
            check_time("t", t)
        if hardware is not None:
            hardware.validate()
        origin, name = None, task if isinstance(task, str) else task.name
        if isinstance(task, str):
            if model is None:
                origin = tuple(None if value is None else str(value) for value in (task, data, checkpoint))
            task = _loaded_task(task, data)
        split = task.split("test").first(examples)
        model = load_model(task, checkpoint) if model is None else model
        check_contract(task, model, split, "test")
        network = nnx.clone(nn.to_digital(model))
        network.eval()
        graph, state = nnx.split(network)
        own = (hardware or costs.Hardware()) if cost or hardware is not None else None
        return cls(
            state=jax.tree.map(_on_host, state), inputs=np.asarray(split.inputs), targets=np.asarray(split.targets),
            known=None, hardware=own, graph=graph, score=task.score, loss=task.loss,
            metric=task.metric, batch=min(batch, len(split)),
            t=None if t is None else float(t), compensated=compensated, origin=origin, name=name,
        )  # fmt: skip

    def __reduce__(self) -> Any:
        """Return what is sent to another process: words where the network is the task's own, arrays elsewhere."""
        if self.origin is None:
            fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
            return _of_fields, (type(self), fields)
        path, data, checkpoint = self.origin
        options = {
            "examples": len(self.inputs), "batch": self.batch, "t": self.t, "compensated": self.compensated,
            "hardware": self.hardware, "data": data, "checkpoint": checkpoint,
        }  # fmt: skip
        return _of_origin, (type(self), path, options)

    @property
    def chunk(self) -> int:
        """As many as take some ten seconds with a small network on a CPU."""
        return int(np.clip(2**14 // len(self.inputs), 4, 64))

    @property
    def columns(self) -> Columns:
        """Units of the figures by name."""
        return {"score": "", "loss": "", "residual": "", **({} if self.hardware is None else COST_COLUMNS)}

    def facts(self) -> dict[str, Any]:
        """Return the task's name, hashes of weights and examples, and what is done with a chip."""
        return {
            "measure": "NetworkScore",
            "task": self.name,
            "metric": self.metric,
            "weights": digest(*map(np.asarray, jax.tree.leaves(self.state))),
            "data": digest(self.inputs, self.targets),
            "examples": len(self.inputs),
            "t": self.t,
            "compensated": self.compensated,
            "hardware": None if self.hardware is None else encoded(self.hardware),
        }

    @property
    def network(self) -> Any:
        """The digital network, in evaluation mode."""
        return nnx.merge(self.graph, jax.tree.map(_on_device, self.state, is_leaf=_is_key), copy=True)

    def ready(self, config: AnalogConfig) -> "NetworkScore":
        """Return the measure with what it has to know of the layers' inputs.

        Args:
            config: The tile, of one of the designs.

        Warns:
            ClippedInputWarning: If the drive is unsigned and a layer's inputs are not.
        """
        network = self.network
        for path, share in lost_inputs(network, config, self.inputs[:_LOOKED_AT]).items():
            warn_of_lost_inputs(share, f"Layer {path!r}")
        if self.hardware is None and not config.wires.profiled:
            return self
        analog = nn.convert(network, config)
        vectors, known = {}, None
        if config.wires.profiled:
            vectors = layer_inputs(analog, jnp.asarray(self.inputs[:_PROFILED]))
        if self.hardware is not None:
            known = nn.cost_inputs(analog, jnp.asarray(self.inputs[:_COSTED]))
        return dataclasses.replace(self, known=(vectors, known))

    def __call__(self, config: AnalogConfig, key_chip: Key[Array, ""], key_read: Key[Array, ""]) -> dict[str, Array]:
        """Return the figures; see `Measure`. The score is a sum over examples, see `finished`."""
        vectors, known = self.known or ({}, None)
        analog = nn.convert(self.network, config)
        if config.wires.profiled:
            analog = with_activity_of(analog, vectors)
        chip: Any = nn.program(analog, key_chip)
        if self.t is not None:
            chip = nn.drift(chip, self.t, GlobalCompensation() if self.compensated else None)
        read = functools.partial(self._scores, nn.Blank.of(nn.for_reading(chip)), key_read)
        score, loss = self._over_batches(read)
        found = {
            "score": score,
            "loss": loss / len(self.inputs),
            "residual": residual_of(dot.chip() for _, dot in analog_layers(chip)),
        }
        if known is None:
            return found
        assert self.hardware is not None
        return {**found, **cost_figures(nn.cost(chip, known._replace(digital_macs=0.0), self.hardware).total)}

    def finished(self, found: Found) -> Found:
        """Return the figures with the mean of the score, in double precision as `jaxaimc evaluate` takes it."""
        if isinstance(self.score, Corpus):
            return found
        return {**found, "score": np.asarray(found["score"], np.float64) / len(self.inputs)}

    def notes(self, found: Found) -> list[str]:
        """Return what to warn of."""
        return [*not_finite(found), *notes_of_parts(found)]

    def _scores(
        self, blank: nn.Blank, key_read: Key[Array, ""], examples: Array, inputs: Array, targets: Array
    ) -> tuple[Array, Array]:
        """Return score, or what a `Corpus` gathers, and loss of the examples of a batch."""
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key_read, examples)
        model = nn.with_read_key(blank.model(), keys)
        outputs = model(inputs)
        corpus = isinstance(self.score, Corpus)
        scores = self.score.reduced(outputs, targets) if corpus else self.score(outputs, targets)
        # A score such as the accuracy would hide outputs that are not numbers.
        finite = jnp.ones(len(inputs), bool)
        for leaf in jax.tree.leaves(outputs):
            finite &= jnp.isfinite(leaf).reshape(len(inputs), -1).all(axis=1)
        scores = jnp.asarray(scores, jnp.result_type(scores, jnp.float32))
        scores = jnp.where(finite.reshape(-1, *[1] * (scores.ndim - 1)), scores, jnp.nan)
        return scores, self.loss(outputs, targets)

    def _over_batches(self, read: Any) -> tuple[Array, Array]:
        """Return the sum of the scores, or a corpus's value, and the sum of the losses."""
        count, batch = len(self.inputs), self.batch
        batches = -(-count // batch)
        # Full batches only: the last one is moved back, and what it repeats does not count, as in `tasks.score`.
        start = np.minimum(np.arange(batches) * batch, count - batch)
        places = start[:, None] + np.arange(batch)
        fresh = places >= np.arange(batches)[:, None] * batch

        def one(given: tuple[Array, Array]) -> tuple[Array, Array]:
            examples, fresh = given
            inputs, targets = jnp.asarray(self.inputs)[examples], jnp.asarray(self.targets)[examples]
            scores, losses = read(examples, inputs, targets)
            if not isinstance(self.score, Corpus):
                scores = jnp.sum(jnp.where(fresh, scores, 0))
            return scores, jnp.sum(jnp.where(fresh, losses, 0))

        scores, losses = jax.lax.map(one, (jnp.asarray(places), jnp.asarray(fresh)))
        if not isinstance(self.score, Corpus):
            return jnp.sum(scores), jnp.sum(losses)
        gathered = scores.reshape(-1, *scores.shape[2:])
        return _of_corpus(self.score, gathered[np.flatnonzero(fresh.ravel())], self), jnp.sum(losses)


def _of_corpus(score: Corpus, gathered: Array, measure: NetworkScore) -> Float[Array, ""]:
    """Return the score of all examples together, computed on the host; NaN where outputs are not finite."""

    def on_host(gathered: Any, targets: Any) -> np.ndarray:
        gathered = np.asarray(gathered)
        if not np.isfinite(gathered).all():
            return np.asarray(np.nan, np.float32)
        return np.asarray(score(gathered, np.asarray(targets)), np.float32)

    shape = jax.ShapeDtypeStruct((), jnp.float32)
    return jax.pure_callback(on_host, shape, gathered, jnp.asarray(measure.targets), vmap_method="sequential")


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _StoredKey:
    """A random key as NumPy holds it."""

    data: np.ndarray
    kind: str = dataclasses.field(metadata={"static": True})


def _is_key(leaf: Any) -> bool:
    return isinstance(leaf, _StoredKey)


def _on_host(leaf: Any) -> Any:
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return _StoredKey(np.asarray(jax.random.key_data(leaf)), str(jax.random.key_impl(leaf)))
    return np.asarray(leaf) if isinstance(leaf, jax.Array) else leaf


def _on_device(leaf: Any) -> Any:
    if isinstance(leaf, _StoredKey):
        return jax.random.wrap_key_data(jnp.asarray(leaf.data), impl=leaf.kind)
    return jnp.asarray(leaf) if isinstance(leaf, np.ndarray) else leaf


@functools.lru_cache(maxsize=4)
def _loaded_task(path: str, data: str | None) -> Task:
    return load_task(path, data)


def _of_fields(cls: type[NetworkScore], fields: dict[str, Any]) -> NetworkScore:
    return cls(**fields)


def _of_origin(cls: type[NetworkScore], path: str, options: dict[str, Any]) -> NetworkScore:
    return cls.of(path, **options)
