"""Noise while training: on weights, on outputs, and the programming noise of a chip that lives for one step."""

from jaxaimc.training.noise.outputs import MeanFieldReadNoise, OutputNoise, with_mean_field_noise, with_output_noise
from jaxaimc.training.noise.programming import training_chip
from jaxaimc.training.noise.weights import (
    AdditiveNoise,
    DropConnect,
    MultiplicativeNoise,
    PolynomialNoise,
    WeightNoise,
    with_weight_noise,
)

__all__ = [
    "AdditiveNoise",
    "DropConnect",
    "MeanFieldReadNoise",
    "MultiplicativeNoise",
    "OutputNoise",
    "PolynomialNoise",
    "WeightNoise",
    "training_chip",
    "with_mean_field_noise",
    "with_output_noise",
    "with_weight_noise",
]
