"""Limits while training: the largest weights, fixed or learned, and learned ranges of inputs and converters."""

from jaxaimc.training.limits.learned import WeightLimit, clipped, learn_weight_limits, with_clipped_weights
from jaxaimc.training.limits.ranges import (
    TrainedInputRange,
    TrainedOutputRange,
    learn_input_ranges,
    learn_output_ranges,
)
from jaxaimc.training.limits.weights import clip_weights, clip_weights_to_deviations, remap_weights

__all__ = [
    "TrainedInputRange",
    "TrainedOutputRange",
    "WeightLimit",
    "clip_weights",
    "clip_weights_to_deviations",
    "clipped",
    "learn_input_ranges",
    "learn_output_ranges",
    "learn_weight_limits",
    "remap_weights",
    "with_clipped_weights",
]
