"""The page of benchmarks holds the history that the repository keeps."""

from benchmarks.__main__ import PAGE, history, numbers, page


def test_page_and_history_agree():
    assert history(), "the history holds no run"
    assert page(PAGE.read_text(), history()) == PAGE.read_text()


def test_numbers_of_a_table_are_read_by_name():
    output = "512 x 512\nplain x @ w 0.4 ms\n\ncase      ratio  goal\nMVM, CCO    1.38   1.5\n"
    output += "  loop of one jitted call   12.5 us each\n"
    assert numbers(output) == {"MVM, CCO": 1.38, "loop of one jitted call": 12.5}
