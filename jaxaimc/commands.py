"""The commands of `jaxaimc`: evaluate, train, config. Needs the extra `app`."""

import dataclasses
import hashlib
import inspect
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro
from rich.console import Console
from tyro.conf import FlagCreatePairsOff, Positional, subcommand

from jaxaimc import config_files, presets, startup
from jaxaimc.tasks import load_task

if TYPE_CHECKING:
    import jax

    from jaxaimc.training.objectives import Forward

DEFAULT_TASK = "models.vit:fashion_mnist"
_FULL = {"examples": None, "chips": 16, "batch": 125, "sweep_examples": 2000}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluate:
    """Measure what each effect of an analog chip does to a network's accuracy.

    Every linear layer is put on tiles. Tables are printed as they fill; tables (Parquet) and a figure (PNG) are written
    to OUTPUT/<task>-<fingerprint>. The same command goes on where an interrupted one stopped.

    Args:
        task: Network, data and metric: package.module:function.
        data: Folder with the task's data; its own by default.
        checkpoint: Weights (safetensors); the task's own by default.
        config: The tile as a JSON file, see `jaxaimc config`; the tile circuit by default.
        output: Folder in which the results folder is made.
        full: All test examples on 16 chips, 2,000 examples in the sweep of wire resistances.
        examples: Test examples, from the first: 2,000, or all with --full.
        chips: Chips: 4, or 16 with --full.
        times: Times since programming [s]: 1 second to 1 year.
        resistances: Wire resistances per segment [ohm]: 0 to 20.
        sweep_examples: Test examples of the sweep of wire resistances: 500, or 2,000 with --full.
        layer_examples: Examples of the layers' output errors: 250.
        batch: Examples computed at once on each chip: 250, or 125 with --full. Results do not depend on it.
        seed: Seed of chips and reads.
    """

    task: Positional[str] = DEFAULT_TASK
    data: Path | None = None
    checkpoint: Path | None = None
    config: Path | None = None
    output: Path = Path("results")
    full: Annotated[bool, FlagCreatePairsOff] = False
    examples: int | None = None
    chips: int | None = None
    times: tuple[float, ...] | None = None
    resistances: tuple[float, ...] | None = None
    sweep_examples: int | None = None
    layer_examples: int | None = None
    batch: int | None = None
    seed: int = 0

    def run(self) -> None:
        """Run the command."""
        from jaxaimc.evaluation import Settings, evaluate, figure, report
        from jaxaimc.evaluation.screen import Screen
        from jaxaimc.evaluation.store import ResultsFolder, describe, folder_name
        from jaxaimc.tasks import load_model

        startup.prefer_short_compilation()
        named = {field.name: getattr(self, field.name) for field in dataclasses.fields(Settings)}
        given = {name: value for name, value in named.items() if value is not None}
        settings = Settings(**{**(_FULL if self.full else {}), **given})
        task = load_task(self.task, self.data)
        # After the task, whose package may define components that the file names.
        config = presets.tile_circuit() if self.config is None else config_files.load(self.config)
        model = load_model(task, self.checkpoint)
        facts = describe(task, config, settings, task_path=self.task, checkpoint=self.checkpoint)
        folder = ResultsFolder(self.output / folder_name(task, facts), facts, ["jaxaimc", *sys.argv[1:]])
        console = Console()
        console.print(f"Task {task.name}, results in {folder.path}", soft_wrap=True, highlight=False)
        try:
            with Screen(console, task.metric, folder.scores()) as screen:
                evaluation = evaluate(
                    task, config, model=model, settings=settings, store=folder, progress=screen.update
                )
        except KeyboardInterrupt:
            kept = len({(row["study"], row["name"], row["t"], row["compensated"], row["r"]) for row in folder.scores()})
            raise KeyboardInterrupt(
                f"Interrupted: {kept} finished rows are kept in {folder.path}; the same command goes on from there."
            ) from None
        if evaluation.layers:
            console.print(report.layer_table(evaluation.layers))
        figure.save(evaluation, folder.path / "figure.png")
        for name, content in (
            ("scores.parquet", "scores"),
            ("layers.parquet", "layer errors"),
            ("figure.png", "figure"),
        ):
            console.print(f"{content + ':':13} {folder.path / name}", soft_wrap=True, highlight=False)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Train:
    """Train a task's network. The same command goes on where an interrupted one stopped.

    Numbers that are not given are those of the task's recipe. The objective says through what the network sees its
    examples: `digital` as it is, `gaussian` with noise on the weights of all linear layers, `circuit` with every linear
    layer on tiles that are programmed anew in every step. The last two are scored on fresh chips as well.

    Args:
        task: Network, data and loss: package.module:function.
        output: Folder for the saved states and model.safetensors.
        data: Folder with the task's data; its own by default.
        checkpoint: Weights to start from (safetensors); untrained ones by default.
        objective: Through what the network sees its examples.
        strength: Gaussian noise over a column's largest weight: 0.06; with --objective gaussian.
        config: The tile as a JSON file, see `jaxaimc config`; the tile circuit by default.
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
        startup.prefer_short_compilation()
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
        start = (
            task.build(jax.random.key(recipe.seed)) if self.checkpoint is None else load_model(task, self.checkpoint)
        )
        notes: dict[str, object] = {}
        if self.checkpoint is not None:
            notes["start"] = hashlib.sha256(self.checkpoint.read_bytes()).hexdigest()
        forward = self._forward()
        if self.objective != "digital":
            config = presets.tile_circuit() if self.config is None else config_files.load(self.config)
            start = nn.convert(start, config)
            settings = {"objective": self.objective, "strength": self.strength, "chips": self.chips}
            settings |= {"ideal_backward": self.ideal_backward}
            notes |= {**settings, "config": config_files.dumps(config), "microbatches": self.microbatches}
        try:
            with progress_bar(task.name) as show:
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """Print a published system as JSON, to start a config file from.

    Args:
        name: Name of the preset.
    """

    name: Positional[str] = "tile_circuit"

    def run(self) -> None:
        """Run the command."""
        known = {name: make for name, make in vars(presets).items() if _is_preset(make)}
        if self.name not in known:
            raise ValueError(f"Argument `name` must be one of {', '.join(known)}, but is {self.name!r}.")
        print(config_files.dumps(known[self.name]()), end="")


def run(arguments: Sequence[str]) -> None:
    """Parse the command line and run the command.

    Args:
        arguments: Command-line arguments.
    """
    commands = (
        Annotated[Evaluate, subcommand("evaluate")]
        | Annotated[Train, subcommand("train")]
        | Annotated[Config, subcommand("config")]
    )
    command = tyro.cli(
        commands,  # type: ignore[arg-type]
        args=arguments,
        prog="jaxaimc",
        description="Analog in-memory computing. --debug shows the traceback of an error.",
        config=(tyro.conf.OmitArgPrefixes,),
    )
    command.run()


def _is_preset(value: object) -> bool:
    return inspect.isfunction(value) and value.__module__ == presets.__name__ and not value.__name__.startswith("_")
