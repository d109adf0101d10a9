"""The tiny task, trained once, and its whole study."""

import pytest
import tiny_task
from study_cases import SETTINGS

from jaxaimc.studies import evaluate
from jaxaimc.training import fit


@pytest.fixture(scope="session")
def task():
    return tiny_task.task()


@pytest.fixture(scope="session")
def model(task):
    return fit(task).model


@pytest.fixture(scope="session")
def whole(task, model):
    return evaluate(task, model=model, settings=SETTINGS)
