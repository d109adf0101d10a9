"""Tasks: a network, the data it is trained and tested on, what counts as right, and its weights on disk.

The command line finds a task by import path (`models.vit:fashion_mnist`, `my_package.my_net:task`), or by the name
under which a package has registered it, so the library never imports a particular network. A task factory is a function
that takes the data folder or None and returns a `Task`.
"""

from jaxaimc.tasks import checkpoints, hub
from jaxaimc.tasks.contract import check_contract
from jaxaimc.tasks.corpus import Corpus, spearman
from jaxaimc.tasks.data import Split
from jaxaimc.tasks.load import load_task, registered_tasks
from jaxaimc.tasks.measures import accuracy, cross_entropy
from jaxaimc.tasks.restore import load_model, restore_model, save_model, scales, weights, with_scales
from jaxaimc.tasks.task import Recipe, Task

__all__ = [
    "Corpus",
    "Recipe",
    "Split",
    "Task",
    "accuracy",
    "check_contract",
    "checkpoints",
    "cross_entropy",
    "hub",
    "load_model",
    "load_task",
    "registered_tasks",
    "restore_model",
    "save_model",
    "scales",
    "spearman",
    "weights",
    "with_scales",
]
