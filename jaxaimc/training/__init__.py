"""Training programs: the digital loop, resumable at any moment, on which hardware-aware training builds."""

from jaxaimc.training.loop import Report, TrainingDivergedError, fit
from jaxaimc.training.progress import Progress, progress_bar
from jaxaimc.training.restore import load_model, weights
from jaxaimc.training.scoring import evaluate

__all__ = ["Progress", "Report", "TrainingDivergedError", "evaluate", "fit", "load_model", "progress_bar", "weights"]
