"""The training program."""

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

from jaxaimc.nn.hooks import as_digital
from jaxaimc.tasks import Recipe, Split, Task, check_contract, checkpoints, scales, weights
from jaxaimc.tasks.score import mean_score
from jaxaimc.training.fit.diagnosis import first_not_finite
from jaxaimc.training.fit.precision import widened, with_digital_dtype
from jaxaimc.training.fit.progress import TrainingProgress
from jaxaimc.training.fit.resume import Saved, Saver
from jaxaimc.training.fit.steps import (
    TRAINABLE,
    Objective,
    SplitNetwork,
    TrainingState,
    default_optimizer,
    initial_state,
    make_chunk,
    step_keys,
)

# Steps per call: enough to hide the cost of a call, few enough for a lively progress bar.
_CHUNK = 32


class TrainingDivergedError(FloatingPointError):
    """The loss or its gradient became NaN or infinite."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Report:
    """What a training run reached.

    Args:
        model: Trained network in evaluation mode.
        losses: Mean training loss of every epoch.
        score: Metric on the test examples.
        metric: Name of the metric.
        steps: Steps of the whole run.
        seconds: Computing time [s], all parts of an interrupted run together.
        checkpoint: File with the trained weights, or None if nothing was saved.
    """

    model: nnx.Module
    losses: tuple[float, ...]
    score: float
    metric: str
    steps: int
    seconds: float
    checkpoint: Path | None


def fit(
    task: Task,
    recipe: Recipe | None = None,
    *,
    directory: str | Path | None = None,
    model: nnx.Module | None = None,
    objective: Objective | None = None,
    optimizer: optax.GradientTransformation | None = None,
    trainable: Any = TRAINABLE,
    microbatches: int = 1,
    mesh: jax.sharding.Mesh | None = None,
    digital_dtype: Any = None,
    scorer: Callable[[Task, Any, Split], float] | None = None,
    notes: Mapping[str, Any] | None = None,
    progress: Callable[[TrainingProgress], None] | None = None,
) -> Report:
    """Train a task's network.

    Nothing depends on time or on earlier calls: a step's examples and randomness follow from the seed and its number.
    A run with a folder saves its state there after every epoch, and the same call continues from the last complete
    state; killed at any moment and called again, it ends with the same weights as an uninterrupted run.

    Args:
        task: Network, data, loss and score.
        recipe: Epochs, batch, learning rate and so on; None for the task's own.
        directory: Folder for the saved states and, at the end, `model.safetensors` with the digital network and, where
            there are some, `scales.safetensors` with the numbers beside analog layers; None to save nothing.
        model: Network to start from, which stays as it is; None for an untrained one.
        objective: Loss of each example, `(model, inputs, targets, key, step) -> [batch]`; None for the task's loss of
            `model(inputs)`.
        optimizer: Any optax optimiser over a dictionary of arrays; None for the recipe's AdamW.
        trainable: NNX filter of the variables that are trained; parameters and `jaxaimc.nn.DigitalParam` by default.
        microbatches: Parts in which each batch is computed, one after the other, to save memory; must divide it.
        mesh: Devices over which each batch is spread along the mesh's first axis, which must divide it; results differ
            from those of one device by the order of sums only.
        digital_dtype: Floating type in which the digital part computes while it is trained, such as `jnp.bfloat16`, see
            `jaxaimc.training.fit.precision`; None for the network's own. The trained network is scored in its own.
        scorer: Score of the trained network on the test examples, `(task, model, split) -> score`, such as
            `on_fresh_chips()`; None for the digital network's.
        notes: Further facts that identify the run, as JSON values; stored in the checkpoint and compared on resuming.
        progress: Called after every few steps, see `progress_bar`.

    Returns:
        Trained network, losses, score on the test examples.

    Raises:
        ValueError: If the batch is larger than the training set or cannot be divided as asked, or the folder holds
            another run, or `digital_dtype` is no floating type.
        TrainingDivergedError: If the loss or its gradient becomes NaN or infinite; names the step and the first
            parameter or layer that did. Saved states stay.
        FileNotFoundError: If the task's data are absent.
    """
    recipe = task.recipe if recipe is None else recipe
    if digital_dtype is not None:
        notes = {**(notes or {}), "digital_dtype": jnp.dtype(digital_dtype).name}
    train, test = task.split("train"), task.split("test")
    if recipe.batch > len(train):
        raise ValueError(
            f"Field `batch` of the recipe must be at most the {len(train)} training examples, but is {recipe.batch}."
        )
    parts = microbatches * (1 if mesh is None else mesh.devices.shape[0])
    if microbatches < 1 or recipe.batch % parts:
        raise ValueError(
            f"Field `batch` of the recipe must be a multiple of microbatches x devices, {parts}, but is {recipe.batch}."
        )
    plan = _Plan.of(recipe, len(train))
    if plan.steps >= 2**31:
        raise ValueError(
            f"Field `epochs` of the recipe must give fewer than 2**31 steps, but {recipe.epochs} epochs of this task "
            f"are {plan.steps}."
        )
    untrained = task.build(jax.random.key(recipe.seed)) if model is None else model
    for part, split in (("train", train), ("test", test)):
        check_contract(task, untrained, split, part)
    network, parameters, others = SplitNetwork.split(untrained, trainable)
    identity = {
        "task": task.name,
        "recipe": recipe.describe(),
        "notes": dict(notes or {}),
        "parameters": {name: list(jnp.shape(x)) for name, x in parameters.items()},
        "examples": len(train),
    }
    optimizer = default_optimizer(recipe, plan.steps) if optimizer is None else optimizer
    objective = objective or _digital(task)
    learner = network
    if digital_dtype is not None:
        whole = network.merge(parameters, others)
        learner = SplitNetwork.split(with_digital_dtype(whole, digital_dtype), trainable)[0]
    run = _Run(
        plan=plan,
        recipe=recipe,
        train=train,
        network=learner,
        objective=objective,
        chunk=make_chunk(learner, optimizer, objective, recipe, microbatches=microbatches),
        mesh=None if mesh is None else _automatic(mesh),
        progress=progress or _silent,
    )
    start = Saved(initial_state(parameters, others, optimizer), [], 0.0)
    if directory is None:
        end = run.epochs(start, save=None)
    else:
        with Saver(Path(directory) / "states", identity) as saver:
            end = run.epochs(saver.restore(start.state) or start, save=saver.save)
    trained = network.merge(end.state.parameters, end.state.others)
    trained.eval()
    score = (scorer or _digital_score)(task, trained, test)
    checkpoint = None if directory is None else Path(directory) / "model.safetensors"
    if checkpoint is not None:
        facts = {
            "task": task.name,
            "recipe": recipe.describe(),
            "notes": dict(notes or {}),
            "assets": dict(task.assets),
            "losses": end.losses,
            "metric": task.metric,
            "score": score,
            "steps": plan.steps,
        }
        checkpoints.save(checkpoint, weights(trained), facts)
        if jax.tree.leaves(scales(trained)):
            checkpoints.save(checkpoint.with_name("scales.safetensors"), scales(trained), facts)
    return Report(
        model=trained,
        losses=tuple(end.losses),
        score=score,
        metric=task.metric,
        steps=plan.steps,
        seconds=end.seconds,
        checkpoint=checkpoint,
    )


def _digital(task: Task) -> Objective:
    def objective(model: Any, inputs: Any, targets: Any, key: Any, step: Any) -> Any:
        del key, step  # the digital forward pass is deterministic
        return task.loss(widened(as_digital(model)(inputs)), targets)

    return objective


def _digital_score(task: Task, model: nnx.Module, split: Split) -> float:
    return mean_score(task, as_digital(model), split)


def _automatic(mesh: jax.sharding.Mesh) -> jax.sharding.Mesh:
    """Return the mesh with axes whose use the compiler chooses: the model's code knows nothing of devices."""
    return jax.sharding.Mesh(mesh.devices, mesh.axis_names, (jax.sharding.AxisType.Auto,) * len(mesh.axis_names))


def _silent(progress: TrainingProgress) -> None:
    """Show nothing."""


@dataclasses.dataclass(frozen=True)
class _Plan:
    """Steps of a run; every chunk has the same length, so that one compilation serves all.

    An epoch leaves out the few examples that fill no whole chunk; each epoch shuffles anew, so they change.
    """

    epochs: int
    chunks: int
    length: int

    @classmethod
    def of(cls, recipe: Recipe, examples: int) -> "_Plan":
        steps = examples // recipe.batch
        chunks = -(-steps // _CHUNK)
        return cls(recipe.epochs, chunks, steps // chunks)

    @property
    def steps(self) -> int:
        return self.epochs * self.chunks * self.length


@dataclasses.dataclass(frozen=True)
class _Run:
    plan: _Plan
    recipe: Recipe
    train: Split
    network: SplitNetwork
    objective: Objective
    mesh: jax.sharding.Mesh | None
    chunk: Callable[..., tuple[TrainingState, jax.Array]]
    progress: Callable[[TrainingProgress], None]

    def epochs(self, saved: Saved, save: Callable[[int, Saved], None] | None) -> Saved:
        state, losses, before = saved.state, list(saved.losses), saved.seconds
        started, first = time.perf_counter(), len(losses)
        for epoch in range(first, self.plan.epochs):
            epoch_losses = []
            for number, chosen in self._chunks(epoch):
                steps = np.arange(number, number + self.plan.length, dtype=np.int32)
                batches = self._place(self.train.inputs[chosen]), self._place(self.train.targets[chosen])
                state, chunk_losses = self.chunk(state, steps, *batches)
                epoch_losses.append(np.asarray(chunk_losses))
                self._check(epoch_losses[-1], number, state, *batches)
                done = number + self.plan.length
                examples = (done - first * self.plan.chunks * self.plan.length) * self.recipe.batch
                rate = examples / (time.perf_counter() - started)
                self.progress(TrainingProgress(done, self.plan.steps, epoch + 1, float(epoch_losses[-1].mean()), rate))
            losses.append(float(np.mean(epoch_losses)))
            saved = Saved(state, losses, before + time.perf_counter() - started)
            if save is not None:
                save(epoch + 1, saved)
        return saved

    def _place(self, batches: Any) -> Any:
        """Spread the examples of every step over the mesh."""
        if self.mesh is None:
            return batches
        axes = jax.sharding.PartitionSpec(None, self.mesh.axis_names[0])
        return jax.device_put(batches, jax.sharding.NamedSharding(self.mesh, axes))

    def _check(self, losses: np.ndarray, first: int, state: TrainingState, inputs: Any, targets: Any) -> None:
        if np.isfinite(losses).all():
            return
        bad = int(np.argmin(np.isfinite(losses)))
        # The state is that before the bad step: steps from there on changed nothing.
        augment_key, key = step_keys(self.recipe, first + bad)
        chosen = jnp.asarray(inputs[bad])
        if self.recipe.augment is not None:
            chosen = self.recipe.augment(augment_key, chosen)
        model = self.network.merge(state.parameters, state.others)
        model.train()
        where = first_not_finite(
            state.parameters,
            chosen,
            lambda watched: self.objective(watched, chosen, jnp.asarray(targets[bad]), key, jnp.asarray(first + bad)),
            model,
        )
        raise TrainingDivergedError(
            f"The loss is {losses[bad]} at step {first + bad + 1}: {where}. Lower the learning rate or check the data; "
            f"states saved before stay usable."
        )

    def _chunks(self, epoch: int) -> Iterator[tuple[int, np.ndarray]]:
        order = np.random.default_rng([self.recipe.seed, epoch]).permutation(len(self.train))
        plan, batch = self.plan, self.recipe.batch
        for chunk in range(plan.chunks):
            first = chunk * plan.length
            chosen = order[first * batch : (first + plan.length) * batch].reshape(plan.length, batch)
            yield epoch * plan.chunks * plan.length + first, chosen
