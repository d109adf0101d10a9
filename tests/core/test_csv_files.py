"""Tables that users bring as CSV files: what spreadsheets add is passed over, every refusal names file and line."""

import numpy as np
import pytest

from jaxaimc._core.csv_files import read_rows
from jaxaimc.adcs import FullRange, read_table
from jaxaimc.devices import read_csv

CODES = b"code,mean,std\n0,0.1,0.2\n1,1.1,0.0\n"
DEVICE = b"t_s,target_S,mean_S,std_S\n0,0,0,0\n0,1e-6,1e-6,1e-7\n"
READERS = [
    pytest.param(lambda path: read_table(path, FullRange()), CODES, id="converter"),
    pytest.param(read_csv, DEVICE, id="device"),
]


@pytest.mark.parametrize(("read", "content"), READERS)
def test_s7_byte_order_marks_and_spaces_are_passed_over(read, content, tmp_path):
    (tmp_path / "plain.csv").write_bytes(content)
    (tmp_path / "marked.csv").write_bytes(b"\xef\xbb\xbf" + content.replace(b",", b" , ", 2) + b"\n")
    np.testing.assert_array_equal(read(tmp_path / "marked.csv").mean, read(tmp_path / "plain.csv").mean)


@pytest.mark.parametrize(("read", "content"), READERS)
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text + b'"' + b"1" * 200_000, "line 4: field larger than field limit .* quotation mark"),
        (lambda text: text + b"\xff", "must be text in UTF-8, but is not from byte"),
        (lambda text: text + b"1,2\n", r"line 4, must have \d entries, but has 2"),
        (
            lambda text: text.replace(b"\n0,0", b"\n0,nan", 1),
            r"line 2: column \w+ must be a finite number, but is 'nan",
        ),
        (lambda text: b"a" + text, "must have the columns"),
    ],
)
def test_s7_damaged_tables_name_the_file(read, content, damage, message, tmp_path):
    (tmp_path / "bad.csv").write_bytes(damage(content))
    with pytest.raises(ValueError, match=rf"able '.*bad\.csv'.*{message}"):
        read(tmp_path / "bad.csv")


@pytest.mark.parametrize(("read", "content"), READERS)
def test_s7_numbers_that_cannot_be_name_the_file(read, content, tmp_path):
    (tmp_path / "bad.csv").write_bytes(content.replace(b"0.2", b"-0.2").replace(b"1e-7", b"-1e-7"))
    with pytest.raises(ValueError, match=r"able '.*bad\.csv': Field `std` of"):
        read(tmp_path / "bad.csv")
    with pytest.raises(FileNotFoundError, match=r"There is no .*table '.*none\.csv'"):
        read(tmp_path / "none.csv")


def test_rows_have_their_lines(tmp_path):
    (tmp_path / "rows.csv").write_text('a,b\n"one\ntwo",2\n\n3,4\n')
    assert read_rows(tmp_path / "rows.csv", "Table", ("a", "b")) == [
        (3, {"a": "one\ntwo", "b": "2"}),
        (5, {"a": "3", "b": "4"}),
    ]
    with pytest.raises(ValueError, match="must have the columns a and no others, each once, but has a, b"):
        read_rows(tmp_path / "rows.csv", "Table", ("a",))
