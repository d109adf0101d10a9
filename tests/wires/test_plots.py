"""Pictures show the numbers of the solve."""

import jax.numpy as jnp
import numpy as np
import pytest

from jaxaimc.wires import Mesh

pytest.importorskip("matplotlib")
from jaxaimc import plots


@pytest.fixture(scope="module")
def solved():
    rng = np.random.default_rng(0)
    g, v = jnp.asarray(rng.uniform(0, 1e-4, (8, 5)), jnp.float32), jnp.asarray(rng.uniform(0, 0.2, (3, 8)), jnp.float32)
    mesh = Mesh(r_row=20.0, r_col=20.0)
    return mesh, g, v, mesh.operating_point(g, v[0])


def test_voltage_map_and_profile(solved, tmp_path):
    _, _, v, point = solved
    figure = plots.voltage_map(point, v[0])
    shown = figure.axes[0].images[0].get_array()
    np.testing.assert_allclose(shown, np.asarray(point.row_voltage) * 1e3)
    figure.savefig(tmp_path / "map.png")
    lines = plots.column_profile(point, (0, 4)).axes[1].lines
    np.testing.assert_allclose(lines[1].get_ydata()[-1], 1e6 * point.device_current[:, 4].sum(), rtol=1e-5)


def test_error_by_position(solved):
    mesh, g, v, _ = solved
    line = plots.error_by_position(mesh, g, v[:1]).axes[0].lines[0].get_ydata()
    ideal = np.asarray(v[:1] @ g)
    expected = 100 * (np.asarray(mesh.read(g, v[:1]).current) - ideal) / np.max(np.abs(ideal))
    np.testing.assert_allclose(line, expected[0], atol=1e-3)
    assert line.max() < 0


def test_bad_columns_are_refused(solved):
    with pytest.raises(ValueError, match=r"Argument `columns` must be one to four integers in \[0, 4\]"):
        plots.column_profile(solved[3], (5,))


def test_bad_currents_that_are_all_zero_are_refused(solved):
    mesh, g, v, _ = solved
    with pytest.raises(ValueError, match="must give a current somewhere, but the largest is 0 A"):
        plots.error_by_position(mesh, g, 0 * v)
