"""The study of accuracy over time: many chips and times in one compiled call, equal to one chip at one time."""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from experiments import drift_over_time as study
from jaxaimc import nn
from jaxaimc.calibration import GlobalCompensation
from jaxaimc.tasks import load_model, load_task
from jaxaimc.tasks.chips import chip_keys


@pytest.mark.slow
def test_sweep_is_one_call_and_equals_single_evaluations(tmp_path, empty_jit_cache):
    task = load_task(study.TASK)
    model, test = load_model(task), task.split("test").first(16)
    memory = study.MEMORIES[0]
    before = study.sweep._cache_size()
    times = np.array([1.0, 3.15e7])
    scores = study.run(task, model, memory, times, chips=2, test=test, block=8)
    study.run(task, model, memory, times * 0.5, chips=2, test=test, block=8)
    assert study.sweep._cache_size() == before + 1
    assert scores.shape == (2, 2, 2)

    chips, reads = chip_keys(0, 2)
    programmed = nn.program(nn.convert(model, memory.config()), chips[1])

    inputs, targets = jnp.asarray(test.inputs), jnp.asarray(test.targets)

    @jax.jit
    def single(read_key):
        chip = nn.drift(programmed, times[1], GlobalCompensation())
        blocks = [slice(0, 8), slice(8, 16)]
        parts = [
            task.score(nn.with_read_key(chip, jax.random.fold_in(read_key, i))(inputs[b]), targets[b])
            for i, b in enumerate(blocks)
        ]
        return jnp.mean(jnp.stack(parts))

    assert abs(float(single(reads[1])) - scores[1, 1, 1]) < 0.07  # one image of 16, on the edge, may round differently

    study.write_table(tmp_path / "table.csv", times, {memory.name: scores})
    study.draw(tmp_path / "figure.png", times, {memory.name: scores}, 0.9)
    assert len((tmp_path / "table.csv").read_text().splitlines()) == 1 + scores.size
    assert (tmp_path / "figure.png").stat().st_size > 10_000
