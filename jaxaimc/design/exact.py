"""What a design is worth by the ordinary evaluation."""

import dataclasses
import warnings
from typing import Any

import numpy as np
from flax import nnx
from jaxtyping import Float

from jaxaimc import cost as costs
from jaxaimc import nn
from jaxaimc.config.by_rule import parts_of
from jaxaimc.design.network import COST_WARNINGS, rules
from jaxaimc.design.space import validate
from jaxaimc.design.variables import Configs
from jaxaimc.nn.activity import layer_inputs
from jaxaimc.tasks import Split, Task
from jaxaimc.tasks.chips import as_read, chip_keys, program_chips
from jaxaimc.tasks.score import chip_scores, total

# Examples from which the activities of a network are taken.
_FEW = 12


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluated:
    """A design as the ordinary evaluation finds it.

    Attributes:
        scores: Score of every chip on the examples.
        losses: Mean loss of every chip on the examples.
        cost: Cost of an inference.
    """

    scores: Float[np.ndarray, " chip"]
    losses: Float[np.ndarray, " chip"]
    cost: nn.NetworkCost

    def figures(self) -> dict[str, float]:
        """Return `loss` and `score` (means over chips), and `energy` [J], `latency` [s] and `area` [m^2]."""
        whole = self.cost.total
        return {
            "loss": float(self.losses.mean()),
            "score": float(self.scores.mean()),
            "energy": float(whole.energy.total),
            "latency": float(whole.latency),
            "area": float(whole.area.total),
        }


def evaluate(
    task: Task,
    model: nnx.Module,
    config: Configs,
    split: Split | None = None,
    *,
    chips: int = 4,
    seed: int = 0,
    batch: int = 250,
    hardware: costs.Hardware | None = None,
) -> Evaluated:
    """Evaluate a design exactly: fresh chips, converters as they are, the task's own score.

    The scores are those of the row "everything" of `jaxaimc evaluate` with the same config or configs by rule, seed,
    chips and examples.

    Args:
        task: Gives score and loss.
        model: Digital network; it stays as it is.
        config: The tile of every layer, or configs by rule.
        split: Examples; all test examples by default.
        chips: Chips.
        seed: Seed of chips and reads.
        batch: Examples computed at once.
        hardware: What tiles are made of; `jaxaimc.cost.Hardware()` by default.

    Raises:
        ValueError: If a field is out of range, or the config does not fit the network.
        FloatingPointError: If the network's outputs are not finite.
    """
    validate(config)
    split = task.split("test") if split is None else split
    by_loss = dataclasses.replace(task, score=task.loss, metric="loss")  # the same chips, scored by their loss
    scores, losses = (_scores(one, model, config, split, chips, seed, batch) for one in (task, by_loss))
    chip = nn.convert(model, rules(config), chip_keys(seed, 1)[0][0])
    with warnings.catch_warnings():
        for category in COST_WARNINGS:  # `NetworkCost.facts` has them
            warnings.simplefilter("ignore", category)
        cost = nn.cost(chip, split.first(_FEW).inputs, costs.Hardware() if hardware is None else hardware)
    return Evaluated(scores=scores, losses=losses, cost=cost)


def _scores(
    task: Task, model: nnx.Module, config: Any, split: Split, chips: int, seed: int, batch: int
) -> Float[np.ndarray, " chip"]:
    keys, reads = chip_keys(seed, chips)
    known = None
    if any(part.wires.profiled for part in parts_of(config)):
        known = layer_inputs(nn.convert(model, config), split.first(_FEW).inputs)
    programmed = program_chips(model, config, keys, None, compensated=False, layer_inputs=known)
    blank = as_read(model, config, programmed)
    return total(task, list(chip_scores(task, blank, programmed, reads, split, batch=batch)), split)
