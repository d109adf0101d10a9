"""What the tests of studies share: how much of the tiny task is measured, and in which order."""

from jaxaimc.studies import Settings

SETTINGS = Settings(
    examples=60, chips=2, batch=30, times=(1.0, 1e7), resistances=(0.0, 200.0), sweep_examples=20, layer_examples=20
)
EFFECTS = [
    "digital",
    "input pulses only",
    "ADC only",
    "IR drop only",
    "programming noise only",
    "read noise only",
    "everything",
]
