"""How many chips are scored at once, and how many can be reported at all, in the memory that there is."""

from pathlib import Path

import jax

from jaxaimc import nn
from jaxaimc.config.by_rule import Configs
from jaxaimc.studies.scenarios import Scenario, Settings
from jaxaimc.tasks import Split
from jaxaimc.tasks.chips import chip_bytes, read_bytes

# Programming holds several arrays of a chip's size at once; roughly how many.
_PROGRAMMING = 8
_SHARE = 0.5
# A row of the results as Python and Polars hold it [byte].
_ROW = 1000


def available() -> int | None:
    """Return the memory that a computation can still use on the first device [byte], None where that is not known."""
    statistics = jax.local_devices()[0].memory_stats()
    if statistics and "bytes_limit" in statistics:
        return statistics["bytes_limit"] - statistics.get("bytes_in_use", 0)
    return of_this_machine()


def chips_at_once(model: nn.Module, config: Configs, settings: Settings, split: Split) -> int:
    """Return how many chips fit into half of the memory, at least one.

    A chip takes what its programming and a read of a batch take together; the read's share follows from the network's
    activations, which are traced.

    Args:
        model: Digital network.
        config: The tile of every layer, or configs by rule.
        settings: How many chips, and how many examples at once.
        split: The examples.

    Raises:
        ValueError: If a layer cannot be converted or programmed, or a single chip is larger than the memory.
    """
    chip = chip_bytes(model, config, settings.chips)
    memory = available()
    if memory is None:
        return settings.chips
    if chip > memory:
        raise ValueError(
            f"One chip of this network takes {readable(chip)} while it is read, but there are {readable(memory)}."
        )
    batch = (min(settings.batch, len(split)), *split.inputs.shape[1:])
    inputs = jax.ShapeDtypeStruct(batch, jax.dtypes.canonicalize_dtype(split.inputs.dtype))
    need = _PROGRAMMING * chip + read_bytes(model, config, inputs, settings.chips)
    return max(1, min(settings.chips, int(_SHARE * memory / need)))


def check_rows(scenarios: list[Scenario], settings: Settings, layers: int) -> None:
    """Refuse more chips than whose results fit into memory.

    Args:
        scenarios: What is measured.
        settings: How many chips.
        layers: Analog layers of the network.

    Raises:
        ValueError: If they do not fit.
    """
    memory = of_this_machine()
    per_chip = _ROW * sum(1 + layers * scenario.layers for scenario in scenarios if scenario.random)
    if memory is not None and settings.chips * per_chip > memory:
        raise ValueError(
            f"Field `chips` of Settings must be at most {memory // per_chip}, for whose results there is memory "
            f"({readable(memory)}), but is {settings.chips}."
        )


def of_this_machine() -> int | None:
    """Return the memory that this process can still use [byte], None where that is not known."""
    found = [value for value in (_free(), _group()) if value is not None]
    return min(found, default=None)


def _free() -> int | None:
    """Return the free memory according to Linux [byte]."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration, ValueError):
        return None


def _group() -> int | None:
    """Return what the limit of this process's control group leaves [byte], as containers set it."""
    folder = Path("/sys/fs/cgroup")
    try:
        return int((folder / "memory.max").read_text()) - int((folder / "memory.current").read_text())
    except (OSError, ValueError):
        return None


def readable(size: float) -> str:
    """Return a size in the unit that fits it.

    Args:
        size: Size [byte].
    """
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"
