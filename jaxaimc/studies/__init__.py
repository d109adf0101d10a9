"""Studies: what an analog chip does to a network's accuracy, one scenario after the other.

A `Study` is a list of scenarios on one network; `evaluate` runs the standard one, effect by effect; `sensitivity`
finds which layer and which effect cost the score. Finished scenarios are kept in a store, a folder (`ResultsFolder`) or
memory, and are never computed twice.
"""

from jaxaimc.studies.results import Evaluation, EvaluationProgress, Memory, Rows, Store, summarise
from jaxaimc.studies.run import Study, evaluate, standard_study
from jaxaimc.studies.scenarios import Scenario, Settings, standard
from jaxaimc.studies.sensitivity import Sensitivity, sensitivity

__all__ = [
    "Evaluation",
    "EvaluationProgress",
    "Memory",
    "Rows",
    "Scenario",
    "Sensitivity",
    "Settings",
    "Store",
    "Study",
    "evaluate",
    "sensitivity",
    "standard",
    "standard_study",
    "summarise",
]
