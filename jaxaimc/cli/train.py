"""`jaxaimc train`."""

import dataclasses
import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import FlagCreatePairsOff, Positional

from jaxaimc.cli import signals, startup
from jaxaimc.cli.config import read_config
from jaxaimc.cli.settings import keep_settings
from jaxaimc.config import dumps
from jaxaimc.tasks import hub, load_task

if TYPE_CHECKING:
    import jax

    from jaxaimc.training.objectives import Forward


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train:
    """Train a task's network. The same command goes on where an interrupted one stopped.

    Numbers that are not given are those of the task's recipe. The objective says through what the network sees its
    examples: `digital` as it is, `gaussian` with noise on the weights of all linear layers, `circuit` with every linear
    layer on tiles that are programmed anew in every step. The last two are scored on fresh chips as well.

    Args:
        task: Network, data and loss: package.module:function.
        output: Folder for the saved states and model.safetensors.
        data: Folder with the task's data, or hf://datasets/owner/name; its own by default.
        checkpoint: Weights to start from (safetensors), or hf://owner/name; untrained ones by default.
        objective: Through what the network sees its examples.
        strength: Gaussian noise over a column's largest weight: 0.06; with --objective gaussian.
        config: The tile as a file (JSON or TOML), see `jaxaimc config`; the tile circuit by default.
        chips: Chips in every step, each on its part of the batch: 1; with --objective circuit.
        ideal_backward: Gradients of the digital product for outputs of the circuit; with --objective circuit.
        fresh_chips: Fresh chips on which the trained network is scored: 4.
        microbatches: Parts in which each batch is computed, to save memory.
        devices: Devices over which each batch is spread.
        bfloat16: Let the digital part of the network compute in bfloat16.
        epochs: Passes over the training examples.
        batch: Examples per step.
        learning_rate: Peak learning rate.
        warmup: Fraction of all steps over which the learning rate rises.
        weight_decay: Decoupled weight decay.
        clip_norm: Largest norm of a gradient.
        seed: Seed of the initial weights, the order of the examples, the augmentation and the chips.
    """

    task: Positional[str]
    output: Path
    data: Path | None = None
    checkpoint: Path | None = None
    objective: Literal["digital", "gaussian", "circuit"] = "digital"
    strength: float | None = None
    config: Path | None = None
    chips: int | None = None
    ideal_backward: Annotated[bool, FlagCreatePairsOff] = False
    fresh_chips: int | None = None
    microbatches: int = 1
    devices: int = 1
    bfloat16: Annotated[bool, FlagCreatePairsOff] = False
    epochs: int | None = None
    batch: int | None = None
    learning_rate: float | None = None
    warmup: float | None = None
    weight_decay: float | None = None
    clip_norm: float | None = None
    seed: int | None = None

    def run(self) -> None:
        """Run the command."""
        self._check()
        startup.begin()
        import jax
        import jax.numpy as jnp

        from jaxaimc import nn
        from jaxaimc.tasks import load_model
        from jaxaimc.training import fit, fresh_chips, progress_bar
        from jaxaimc.training.objectives import objective

        task = load_task(self.task, self.data)
        fields = ("epochs", "batch", "learning_rate", "warmup", "weight_decay", "clip_norm", "seed")
        given = {name: getattr(self, name) for name in fields if getattr(self, name) is not None}
        recipe = dataclasses.replace(task.recipe, **given)
        notes: dict[str, object] = {}
        if self.checkpoint is None:
            start = task.build(jax.random.key(recipe.seed))
        else:
            checkpoint = hub.file(self.checkpoint)
            start = load_model(task, checkpoint)
            notes["start"] = hashlib.sha256(checkpoint.read_bytes()).hexdigest()
        forward, config = self._forward(), None
        if self.objective != "digital":
            config = read_config(self.config)
            start = nn.convert(start, config)
            settings = {"objective": self.objective, "strength": self.strength, "chips": self.chips}
            settings |= {"ideal_backward": self.ideal_backward}
            notes |= {**settings, "config": dumps(config), "microbatches": self.microbatches}
        # From the first step on nothing more is refused.
        keep = functools.cache(lambda: keep_settings(self, self.output, config))
        try:
            with signals.gently(), progress_bar(task.name) as bar:

                def show(progress: Any) -> None:
                    keep()
                    bar(progress)
                    signals.check()

                trained = fit(
                    task,
                    recipe,
                    directory=self.output,
                    model=start,
                    objective=objective(task.loss, forward),
                    microbatches=self.microbatches,
                    mesh=self._mesh(),
                    digital_dtype=jnp.bfloat16 if self.bfloat16 else None,
                    notes=notes,
                    progress=show,
                )
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"Interrupted: every complete epoch is kept in {self.output}; the same command goes on from there."
            ) from None
        keep()
        print(f"{trained.metric} on the test examples: {trained.score:.4f}")
        if self.objective != "digital":
            scores = fresh_chips(task, trained.model, task.split("test"), chips=self.fresh_chips or 4)
            spread = f" ± {scores.std(ddof=1):.4f}" if len(scores) > 1 else ""
            print(f"{trained.metric} on {len(scores)} fresh chips: {scores.mean():.4f}{spread}")
        print(f"{trained.steps} steps in {trained.seconds:.0f} s; weights: {trained.checkpoint}")

    def _check(self) -> None:
        """Refuse what would have no effect or cannot be."""
        needs = {
            "strength": ("gaussian",), "chips": ("circuit",),
            "config": ("gaussian", "circuit"), "fresh_chips": ("gaussian", "circuit"),
        }  # fmt: skip
        for name, objectives in needs.items():
            if getattr(self, name) is not None and self.objective not in objectives:
                raise ValueError(
                    f"Argument `{name}` needs --objective {' or '.join(objectives)}, but that is {self.objective}."
                )
        if self.ideal_backward and self.objective != "circuit":
            raise ValueError(f"Argument `ideal_backward` needs --objective circuit, but that is {self.objective}.")
        for name in ("chips", "fresh_chips", "microbatches", "devices"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"Argument `{name}` must be at least 1, but is {value}.")

    def _forward(self) -> "Forward":
        from jaxaimc.training import objectives
        from jaxaimc.training.noise.weights import AdditiveNoise

        if self.objective == "gaussian":
            noise = AdditiveNoise(scale=0.06 if self.strength is None else self.strength)
            noise.validate()
            return objectives.weight_noise(noise)
        if self.objective == "circuit":
            through = objectives.circuit(ideal_backward=self.ideal_backward)
            return through if self.chips is None else objectives.many_chips(through, self.chips)
        return objectives.digital

    def _mesh(self) -> "jax.sharding.Mesh | None":
        import jax

        if self.devices > jax.device_count():
            raise ValueError(
                f"Argument `devices` must be at most the {jax.device_count()} that JAX sees, but is {self.devices}; "
                f"XLA_FLAGS=--xla_force_host_platform_device_count={self.devices} makes a CPU look like so many."
            )
        return (
            None
            if self.devices == 1
            else jax.make_mesh((self.devices,), ("data",), devices=jax.devices()[: self.devices])
        )
