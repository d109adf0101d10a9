"""Training programs: a loop that is resumable at any moment, and the ways in which a network can see its analog future.

`fit` trains; an objective from `objectives` says through what: the digital network, noisy weights, the whole circuit, a
programmed chip. Noise on weights is in `weight_noise`, on outputs in `output_noise`, limits of weights in
`weight_limits` and `learned_limits`, learned ranges in `ranges`, corrections of a chip in `calibration`, scores on new
chips in `chips`. `fast_key` makes keys whose draws cost half.
"""

from jaxaimc._core.hashed import fast_key
from jaxaimc.training import (
    calibration,
    chips,
    learned_limits,
    objectives,
    output_noise,
    ranges,
    weight_limits,
    weight_noise,
)
from jaxaimc.training.calibration import calibrate_columns
from jaxaimc.training.chips import fresh_chips
from jaxaimc.training.loop import Report, TrainingDivergedError, fit
from jaxaimc.training.progress import Progress, progress_bar
from jaxaimc.training.scoring import evaluate

__all__ = [
    "Progress",
    "Report",
    "TrainingDivergedError",
    "calibrate_columns",
    "calibration",
    "chips",
    "evaluate",
    "fast_key",
    "fit",
    "fresh_chips",
    "learned_limits",
    "objectives",
    "output_noise",
    "progress_bar",
    "ranges",
    "weight_limits",
    "weight_noise",
]
