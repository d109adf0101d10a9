"""The main job: what an analog chip does to a network's accuracy, effect by effect."""

from jaxaimc.evaluation.run import Evaluation, Memory, Progress, Store, evaluate, summarise
from jaxaimc.evaluation.scenarios import Scenario, Settings

__all__ = ["Evaluation", "Memory", "Progress", "Scenario", "Settings", "Store", "evaluate", "summarise"]
