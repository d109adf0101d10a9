import numpy as np
import pytest

from jaxaimc.tasks import Split


def test_split_checks_its_lengths():
    with pytest.raises(ValueError, match="one entry for each of the 3 inputs, but has 2"):
        Split(np.zeros((3, 1)), np.zeros(2))
    with pytest.raises(ValueError, match="at least one example"):
        Split(np.zeros((0, 1)), np.zeros(0))
    split = Split(np.zeros((3, 1)), np.zeros(3))
    assert len(split.first(2)) == 2
    assert len(split.first(None)) == len(split.first(9)) == 3
    with pytest.raises(ValueError, match="must be at least 1, but is 0"):
        split.first(0)


@pytest.mark.parametrize("field", ["inputs", "targets"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_s8_data_that_are_no_numbers_name_the_first_bad_example(field, value):
    data = {"inputs": np.zeros((5, 2, 2), np.float32), "targets": np.zeros((5, 1), np.float32)}
    data[field][3, 0] = value
    with pytest.raises(ValueError, match=f"Field `{field}` of Split must be finite, but example 3 holds NaN or inf"):
        Split(**data)


def test_s8_large_data_are_checked_in_blocks():
    inputs = np.zeros((3, 3_000_000), np.float16)
    inputs[2, -1] = np.nan
    with pytest.raises(ValueError, match="but example 2 holds"):
        Split(inputs, np.zeros(3))
    Split(np.zeros((2, 0)), np.zeros(2))


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (["a", "b"], "must be a NumPy array, but is a list"),
        (np.array(["a", "b"]), "must hold real numbers, but has dtype <U1"),
        (np.array([1j, 2.0]), "must hold real numbers, but has dtype complex128"),
        (np.array([None, 1.0]), "must hold real numbers, but has dtype object"),
        (np.float32(1.0), r"must have shape \(examples, ...\), but has shape \(\)"),
    ],
)
def test_bad_s8_data_of_other_types(inputs, message):
    with pytest.raises(ValueError, match=f"Field `inputs` of Split {message}"):
        Split(inputs, np.zeros(2))
