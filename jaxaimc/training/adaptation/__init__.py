"""Adaptation of pretrained networks to analog tiles, short of training them anew.

Each of these is a step of its own and goes with all others:

- A range of conductances for each column: `AnalogConfig(column_scales=True)`, the default. It costs one number per
  column and tile, with which outputs are multiplied anyway.
- Ranges of inputs and converters from data: `jaxaimc.nn.calibrate`. It costs one pass of a few dozen examples, before
  the chip is used.
- Large inputs exchanged for large weights: `rescale`. It costs one pass of examples, and one product per input of a
  layer in every call, or none where a normalisation takes the scales over.
- Low-rank corrections, trained on a chip or through its model: `with_adapters`, `AdapterParam`. They cost training, and
  `rank (n_in + n_out)` digital products per vector beside the tile's `n_in n_out`.
"""

from jaxaimc.training.adaptation.adapters import Adapter, AdapterParam, with_adapters
from jaxaimc.training.adaptation.rescaled_host import RescaledHost
from jaxaimc.training.adaptation.rescaling import rescale

__all__ = ["Adapter", "AdapterParam", "RescaledHost", "rescale", "with_adapters"]
