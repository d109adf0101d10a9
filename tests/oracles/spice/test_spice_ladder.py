"""The column ladder in ngspice: what is written, what is stored, what runs today, and a dense nodal solve beside it."""

import shutil

import nodal
import numpy as np
import pytest
import spice_cases
from spice_cases import CASES, REFERENCE_K, REFERENCE_W, REFERENCE_Y, conductances, one_sided, stack

from jaxaimc import spice

live = [
    pytest.mark.spice,
    pytest.mark.skipif(shutil.which("ngspice") is None, reason="ngspice is not installed"),
]


def solve(kind, inputs):
    if kind == "dc":
        return nodal.column_currents(**inputs)
    return nodal.pwm_charge(**inputs)[None]


def relative(actual, expected):
    return np.max(np.abs(actual - expected)) / np.max(np.abs(expected))


def test_every_case_is_stored():
    assert {path.stem for path in spice_cases.DATA.glob("*.json")} == set(CASES)


@pytest.mark.parametrize("name", CASES)
def test_writer_gives_the_stored_netlist(name):
    kind, inputs, netlist, _ = spice_cases.load(name)
    assert spice_cases.write(kind, inputs) == netlist


@pytest.mark.parametrize("name", CASES)
def test_stored_results_equal_nodal_solve(name):
    kind, inputs, _, results = spice_cases.load(name)
    assert relative(solve(kind, inputs), results) < spice_cases.tolerance(name)


@pytest.mark.parametrize("name", [pytest.param(name, marks=live) for name in CASES])
def test_live_results_equal_the_stored_ones(name):
    _, _, netlist, results = spice_cases.load(name)
    assert relative(stack(spice.run(netlist)), results) < 1e-9


def test_all_sign_patterns_are_covered():
    _, inputs, _, results = spice_cases.load("dc_6x4_100_ohm")
    full = inputs["drive"][np.all(inputs["drive"] != 0, axis=1)]
    assert len(np.unique(full, axis=0)) == 2**6
    assert results.shape == (len(inputs["drive"]), 4)


def test_reference_case():
    unit = 0.2 * 1e-9 * 25e-6 * 127
    solved = nodal.pwm_charge(one_sided(REFERENCE_W), REFERENCE_K, r=100.0, v_adc=0.4) / unit
    np.testing.assert_allclose(solved, REFERENCE_Y, atol=1e-9, rtol=0)
    stored = spice_cases.load("pwm_reference")[3][0] / unit
    np.testing.assert_allclose(stored, REFERENCE_Y, atol=1e-9, rtol=0)


def test_nodal_solve_of_the_uniform_column():
    # All inputs one on 512 rows of 25 uS: near tanh(sqrt k) / sqrt k with k = 512^2 r G, exactly 391.42635 of 512.
    g = np.stack([np.full((512, 1), 25e-6), np.zeros((512, 1))])
    y = nodal.column_currents(g, np.ones(512), r=0.15, v_adc=0.4)[0] / (0.2 * 25e-6)
    assert y == pytest.approx(391.42635, abs=1e-5)
    root = 512 * np.sqrt(0.15 * 25e-6)
    assert y / 512 == pytest.approx(np.tanh(root) / root, rel=1e-5)


@pytest.mark.parametrize("at_first", [False, True])
def test_unused_rows_count_at_the_adc_end_only(at_first):
    column = int(at_first)  # odd columns are read before the first row
    g, drive = conductances(6, 2, 40), np.array([1, -1, 1, 1, 0, -1])
    near, far = ((4, 0), (0, 4)) if at_first else ((0, 4), (4, 0))

    def solve_column(**change):
        return nodal.column_currents(g, drive, r=100.0, **change)[column]

    assert solve_column(unused_rows=near) == pytest.approx(solve_column(r_adc=450.0), rel=1e-12)
    assert solve_column(unused_rows=far) == pytest.approx(solve_column(), rel=1e-12)


# What follows runs ngspice.


class TestLive:
    pytestmark = live

    def test_a_full_size_column_pair(self):
        g = conductances(512, 2, 30)
        drive = np.random.default_rng(31).integers(-1, 2, (3, 512))
        found = stack(spice.run(spice.ladder_dc(g, drive)))
        assert relative(nodal.column_currents(g, drive), found) < 1e-8

    def test_edge_width_does_not_matter(self):
        g, k = conductances(6, 2, 32), np.array([127, -100, 1, 126, 0, -5])
        expected = nodal.pwm_charge(g, k, r=100.0)
        for edge in (1e-9, 1e-12, 1e-15):
            found = stack(spice.run(spice.ladder_pwm(g, k, r=100.0, edge=edge)))[0]
            assert relative(found, expected) < 1e-10

    def test_tolerances_and_gmin_do_not_act(self):
        g, k = conductances(6, 2, 33), np.array([127, -100, 1, 126, 0, -5])
        for netlist in (spice.ladder_dc(g, np.sign(k), r=100.0), spice.ladder_pwm(g, k, r=100.0)):
            loose = netlist.replace("gmin=1e-15", "gmin=1e-9").replace("reltol=1e-9", "reltol=1e-3")
            assert loose != netlist
            np.testing.assert_array_equal(stack(spice.run(loose)), stack(spice.run(netlist)))

    def test_unknown_command_is_an_error(self):
        netlist = spice.ladder_dc(conductances(2, 1, 0), np.array([1, 1])).replace("\nop\n", "\nwhat\n")
        with pytest.raises(spice.SpiceError, match="what: no such command"):
            spice.run(netlist)

    def test_contradicting_sources_are_an_error(self):
        netlist = "* loop\nv1 a 0 1\nv2 a 0 2\n.control\nop\nprint v(a)\nquit 0\n.endc\n.end\n"
        with pytest.raises(spice.SpiceError, match="singular matrix"):
            spice.run(netlist)

    def test_netlist_without_control_block_is_an_error(self):
        with pytest.raises(spice.SpiceError, match="no simulations run"):
            spice.run("* empty\nr1 a 0 1\n.end\n")

    def test_version(self):
        assert int(spice.version().split(".")[0]) >= 30


# `run` itself, on a stand-in program that says what it is told.


@pytest.fixture
def program(tmp_path):
    def make(body):
        path = tmp_path / "fake-spice"
        path.write_text(f"#!/bin/sh\n{body}\n")
        path.chmod(0o755)
        return str(path)

    return make


def test_run_collects_prints_in_order(program):
    say = program("printf 'junk\\nq = 1.5e-07\\np = -2\\nq = +3.25\\np = 4e+01\\ncircuit = file\\n'")
    found = spice.run("", executable=say)
    assert list(found) == ["q", "p"]
    np.testing.assert_array_equal(stack(found), [[1.5e-7, -2.0], [3.25, 40.0]])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("echo 'i = 1'; exit 3", r"exit status 3"),
        ("echo 'i = 1'; echo 'Error: no such vector' >&2", r"Error: no such vector"),
        ("echo nothing", r"no complete set of results"),
        ("printf 'i = 1\\nj = 2\\ni = 3\\n'", r"\{'i': 2, 'j': 1\}"),
        ("printf 'i = 1\\nj = nan\\n'", r"not finite: j"),
        ("while :; do :; done", r"did not finish within `timeout` = 0.2 s"),
    ],
)
def test_run_refuses_what_is_no_answer(program, body, message):
    with pytest.raises(spice.SpiceError, match=message):
        spice.run("", executable=program(body), timeout=0.2 if "while" in body else 20.0)


def test_missing_program():
    with pytest.raises(FileNotFoundError, match="install ngspice"):
        spice.run("", executable="no-such-spice")
    with pytest.raises(FileNotFoundError, match="install ngspice"):
        spice.version("no-such-spice")


def test_program_without_version(program):
    with pytest.raises(spice.SpiceError, match="states no ngspice release"):
        spice.version(program("echo hello"))


# Bad input.

G = conductances(3, 2, 50)
DRIVE = np.array([1, 0, -1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"g": G[0]}, r"Argument `g` must have shape \(2, rows, cols\) .* has shape \(3, 2\)"),
        (
            {"g": np.full_like(G, np.nan)},
            r"Argument `g` must be in \[0, inf\) S .* is nan S at \(0, 0, 0\)",
        ),
        ({"g": -G}, r"Argument `g` must be in \[0, inf\) S"),
        ({"r": -0.1}, r"Argument `r` must be in \[0, inf\) ohm, but is -0.1 ohm"),
        ({"r_adc": float("nan")}, r"Argument `r_adc` must be in \[0, inf\) ohm"),
        ({"v_read": float("inf")}, r"Argument `v_read` must be a finite voltage \[V\], but is inf V"),
        ({"unused_rows": (1, -1)}, r"Argument `unused_rows` must be two integers >= 0"),
        ({"unused_rows": (1,)}, r"Argument `unused_rows` must be two integers >= 0"),
    ],
)
@pytest.mark.parametrize("kind", ["dc", "pwm"])
def test_bad_circuit(kind, change, message):
    rows = {"drive" if kind == "dc" else "k": DRIVE}
    with pytest.raises(ValueError, match=message):
        spice_cases.write(kind, {"g": G, **rows, **change})


@pytest.mark.parametrize(
    ("drive", "message"),
    [
        (np.array([1, 0]), r"Argument `drive` must have shape \(rows=3,\).* has shape \(1, 2\)"),
        (np.array([1, 0, 2]), r"Argument `drive` must hold integers in \[-1, 1\], but holds 2"),
    ],
)
def test_bad_drive(drive, message):
    with pytest.raises(ValueError, match=message):
        spice.ladder_dc(G, drive)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"k": np.array([1, 128, 0])}, r"Argument `k` must hold integers in \[-127, 127\], but holds 128"),
        ({"k": np.array([[1, 2, 0]])}, r"Argument `k` must have shape \(rows=3,\), but has shape \(1, 3\)"),
        ({"k": np.array([1, 2])}, r"Argument `k` must have shape \(rows=3,\)"),
        ({"steps": 0}, r"Argument `steps` must be an integer >= 1, but is 0"),
        ({"t_lsb": 0.0}, r"Argument `t_lsb` must be in \(0, inf\) s, but is 0.0 s"),
        ({"edge": 2e-9}, r"Argument `edge` must be in \[t_lsb / 1e6, t_lsb = 1e-09\] s, but is 2e-09 s"),
        ({"edge": 1e-20}, r"Argument `edge` must be in .* but is 1e-20 s"),
    ],
)
def test_bad_pulses(change, message):
    with pytest.raises(ValueError, match=message):
        spice.ladder_pwm(**{"g": G, "k": DRIVE, **change})
