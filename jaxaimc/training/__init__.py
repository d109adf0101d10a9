"""Training: a loop that is resumable at any moment, and the ways in which a network can see its analog future.

`fit` trains; an objective from `objectives` says through what: the digital network, noisy weights, the whole circuit, a
programmed chip. `noise` holds the noise on weights, outputs and conductances, `limits` those of weights and learned
ranges of inputs and converters, `adaptation` what adapts a pretrained network without training it anew, `chips` the
scores on new chips. `fast_key` makes keys whose draws cost half.
"""

from jaxaimc._core.hashed import fast_key
from jaxaimc.training import adaptation, chips, limits, noise, objectives
from jaxaimc.training.chips import fresh_chips
from jaxaimc.training.fit.loop import Report, TrainingDivergedError, fit
from jaxaimc.training.fit.progress import TrainingProgress, progress_bar

__all__ = [
    "Report",
    "TrainingDivergedError",
    "TrainingProgress",
    "adaptation",
    "chips",
    "fast_key",
    "fit",
    "fresh_chips",
    "limits",
    "noise",
    "objectives",
    "progress_bar",
]
