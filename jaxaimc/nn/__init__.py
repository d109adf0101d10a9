"""Flax NNX: analog layers attached to existing models by path."""

from jaxaimc.nn.activations import ActivationProduct
from jaxaimc.nn.activity import AssumedActivityWarning, with_activity
from jaxaimc.nn.attention import AnalogAttention, with_analog_attention
from jaxaimc.nn.blank import Blank, Module
from jaxaimc.nn.calibrate import Calibration, SaturatedRangeWarning, calibrate, calibrate_and_report
from jaxaimc.nn.chip import (
    drift,
    effective,
    for_reading,
    layer_errors,
    program,
    with_effective,
    with_read_key,
    without_chip,
)
from jaxaimc.nn.columns import ColumnCorrection, calibrate_columns, with_column_correction
from jaxaimc.nn.configs import map_configs
from jaxaimc.nn.convert import convert, to_digital
from jaxaimc.nn.cost import CostInputs, NetworkCost, cost, cost_inputs
from jaxaimc.nn.folding import FoldedNorm, fold_batch_norm
from jaxaimc.nn.hooks import as_digital, attach, in_mode, replace_products
from jaxaimc.nn.hosts import Host
from jaxaimc.nn.op import AnalogDot, Call, Hook
from jaxaimc.nn.products import Product, products
from jaxaimc.nn.rules import Rule
from jaxaimc.nn.saturation import Saturation, saturation
from jaxaimc.nn.summary import ProductSummary, Summary, summary
from jaxaimc.nn.variables import (
    ActivityProfile,
    Checksum,
    Conductance,
    DeviceParam,
    DigitalParam,
    EffectiveMatrix,
    LayerError,
    ReadKey,
)

__all__ = [
    "ActivationProduct",
    "ActivityProfile",
    "AnalogAttention",
    "AnalogDot",
    "AssumedActivityWarning",
    "Blank",
    "Calibration",
    "Call",
    "Checksum",
    "ColumnCorrection",
    "Conductance",
    "CostInputs",
    "DeviceParam",
    "DigitalParam",
    "EffectiveMatrix",
    "FoldedNorm",
    "Hook",
    "Host",
    "LayerError",
    "Module",
    "NetworkCost",
    "Product",
    "ProductSummary",
    "ReadKey",
    "Rule",
    "SaturatedRangeWarning",
    "Saturation",
    "Summary",
    "as_digital",
    "attach",
    "calibrate",
    "calibrate_and_report",
    "calibrate_columns",
    "convert",
    "cost",
    "cost_inputs",
    "drift",
    "effective",
    "fold_batch_norm",
    "for_reading",
    "in_mode",
    "layer_errors",
    "map_configs",
    "products",
    "program",
    "replace_products",
    "saturation",
    "summary",
    "to_digital",
    "with_activity",
    "with_analog_attention",
    "with_column_correction",
    "with_effective",
    "with_read_key",
    "without_chip",
]
