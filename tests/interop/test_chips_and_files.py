"""Chips in and out: round trips through files to the bit, measured chips, faults, exported networks."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxaimc import AnalogConfig, devices, interop, nn, tile
from jaxaimc.adcs import IdealADC
from jaxaimc.wires import NoWires

CHIP, READ = jax.random.key(1), jax.random.key(2)
CONFIG = AnalogConfig(wires=NoWires(), rows=16, cols=8)


@pytest.fixture(scope="module")
def network():
    rngs = nnx.Rngs(0)
    return nn.convert(nnx.Sequential(nnx.Linear(20, 10, rngs=rngs), nnx.relu, nnx.Linear(10, 3, rngs=rngs)), CONFIG)


@pytest.fixture(scope="module")
def chip(network):
    return nn.program(network, CHIP)


@pytest.fixture(scope="module")
def x():
    return jax.random.normal(jax.random.key(3), (5, 20))


def outputs(model, x):
    return np.asarray(nn.with_read_key(model, READ)(x))


@pytest.mark.parametrize("suffix", ["npz", "safetensors", "csv"])
def test_weights_to_conductances_to_a_file_and_back_give_the_same_outputs(suffix, network, chip, x, tmp_path):
    path = tmp_path / f"chip.{suffix}"
    interop.write_conductances(path, interop.conductances(chip))
    measured = interop.read_conductances(path)
    assert {path: g.shape for path, g in measured.items()} == {
        "layers/0": (2, 2, 1, 2, 10, 5), "layers/2": (1, 1, 1, 2, 10, 3),
    }  # fmt: skip
    found = interop.with_measured(network, measured, CHIP)
    assert np.array_equal(outputs(found, x), outputs(chip, x))


def test_a_measured_chip_answers_with_what_was_measured(x):
    """Ohm's law with numpy: no wires, no noise, no converter."""
    config = AnalogConfig(device=devices.IdealDevice(), wires=NoWires(), adc=IdealADC(), rows=16)
    layer = nn.convert(nnx.Linear(12, 4, use_bias=False, rngs=nnx.Rngs(0)), config)
    g = np.random.default_rng(0).uniform(0, 25e-6, size=(1, 1, 1, 2, 12, 4)).astype(np.float32)
    found = interop.with_measured(layer, {"": g}, CHIP)
    inputs = np.sign(np.asarray(x[:, :12]))
    scale = np.abs(layer.kernel.get_value()).max(axis=0)
    wanted = inputs @ (g[0, 0, 0, 0] - g[0, 0, 0, 1]) / 25e-6 * scale
    np.testing.assert_allclose(outputs(found, jnp.asarray(inputs)), wanted, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(interop.conductances(found)[""], g)
    targets = interop.conductances(found, "target")[""]
    np.testing.assert_allclose((targets[0, 0, 0, 0] - targets[0, 0, 0, 1]) / 25e-6 * scale, layer.kernel.get_value(),
                               rtol=1e-5, atol=1e-7)  # fmt: skip


def test_a_csv_file_of_a_programmer_in_microsiemens(tmp_path):
    path = tmp_path / "measured.csv"
    path.write_text(
        "layer,tile_row,tile_col,slice,polarity,row,col,g_uS\nhead,0,0,0,1,0,0,0.25\nhead,0,0,0,0,0,0,12.5\n"
    )
    found = interop.read_conductances(path)["head"]
    np.testing.assert_allclose(found.ravel(), [12.5e-6, 0.25e-6])
    whole = interop.read_conductances(path, {"head": (1, 1, 1, 2, 2, 1)})["head"]
    assert np.isnan(whole).sum() == 2


def test_faults_hold_at_every_time(network, chip, x, tmp_path):
    faults = {"layers/2": np.full((1, 1, 1, 2, 10, 3), np.nan, np.float32)}
    faults["layers/2"][0, 0, 0, 0, 4, 1], faults["layers/2"][0, 0, 0, 1, 7, 2] = 0.0, 25e-6
    path = tmp_path / "faults.csv"
    interop.write_conductances(path, faults)
    assert len(path.read_text().splitlines()) == 3
    shapes = {name: g.shape for name, g in interop.conductances(chip).items()}
    read = interop.read_conductances(path, shapes)
    np.testing.assert_array_equal(read["layers/2"], faults["layers/2"])
    assert np.isnan(read["layers/0"]).all()
    faulty = interop.with_faults(chip, {"layers/2": read["layers/2"]})
    for t in (None, 86400.0):
        now, sound = (model if t is None else nn.drift(model, t) for model in (faulty, chip))
        g, others = (interop.conductances(model)["layers/2"].copy() for model in (now, sound))
        assert (g[0, 0, 0, 0, 4, 1], g[0, 0, 0, 1, 7, 2]) == (0.0, np.float32(25e-6))
        others[0, 0, 0, 0, 4, 1], others[0, 0, 0, 1, 7, 2] = 0.0, 25e-6
        np.testing.assert_array_equal(g, others)
    assert not np.array_equal(outputs(faulty, x), outputs(chip, x))


def test_stacks_of_layers_come_and_go(tmp_path):
    layers = nnx.vmap(lambda key: nnx.Linear(4, 4, rngs=nnx.Rngs(key)))(jax.random.split(jax.random.key(0)))
    chip = nn.convert(layers, CONFIG, key=CHIP)
    measured = interop.conductances(chip)
    assert measured[""].shape == (2, 1, 1, 1, 2, 4, 4)
    interop.write_conductances(tmp_path / "stack.npz", measured)
    again = interop.with_measured(chip, interop.read_conductances(tmp_path / "stack.npz"), CHIP)
    np.testing.assert_array_equal(interop.conductances(again)[""], measured[""])
    with pytest.raises(ValueError, match="A CSV file needs arrays of the axes"):
        interop.write_conductances(tmp_path / "stack.csv", measured)


def test_bad_conductances_are_refused(network, chip, tmp_path):
    g = interop.conductances(chip)
    one = {**g, "layers/2": 1e6 * g["layers/2"]}
    with pytest.raises(ValueError, match=r"Layer 'layers/2': Argument `g` must hold conductances in S.* 100 times"):
        interop.with_measured(network, one, CHIP)
    with pytest.raises(ValueError, match=r"Argument `g` must have shape .*\(1, 1, 1, 2, 10, 3\).*has shape \(10, 3\)"):
        interop.with_measured(network, {**g, "layers/2": np.ones((10, 3))}, CHIP)
    with pytest.raises(ValueError, match=r"`measured` must have every analog layer, but lacks 'layers/2'"):
        interop.with_measured(network, {"layers/0": g["layers/0"]}, CHIP)
    with pytest.raises(ValueError, match=r"`faults` has the layer 'head', but the analog layers are: 'layers/0'"):
        interop.with_faults(chip, {"head": g["layers/0"]})
    with pytest.raises(ValueError, match=r"`path` must end in .npz, .safetensors, .csv"):
        interop.write_conductances(tmp_path / "chip.mat", g)
    np.savez(tmp_path / "strange.npz", g=np.ones(3))
    with pytest.raises(ValueError, match=r"must be one that `write_conductances` writes"):
        interop.read_conductances(tmp_path / "strange.npz")
    header = "layer,tile_row,tile_col,slice,polarity,row,col,g_S\n"
    for text, message in [
        (header.replace("g_S", "g"), "must have one column of conductances, g_S, g_mS"),
        (header + "a,0,0,0,0,1,0,1e-6\n", r"must have every device of layer 'a' .* lacks \(0, 0, 0, 0, 0, 0\)"),
        (header + "a,0,0,0,0,0,0,1e-6\n" * 2, "line 3: a device must stand there once"),
        (header + "a,0,0,0,0,0,x,1e-6\n", "line 2: positions must be whole numbers"),
    ]:
        (tmp_path / "bad.csv").write_text(text)
        with pytest.raises(ValueError, match=message):
            interop.read_conductances(tmp_path / "bad.csv")
    programmed = tile.program(CONFIG, jnp.eye(3), CHIP)
    with pytest.raises(ValueError, match=r"Argument `stuck` must hold conductances in S"):
        tile.with_stuck_devices(CONFIG, programmed, jnp.full(programmed.g.shape, -1.0))


RUN = """
import sys
sys.modules["jaxaimc"] = sys.modules["flax"] = None  # importing either is an error
import jax, numpy as np
from jax import export
network = export.deserialize(bytearray(open("network.jax", "rb").read()))
for n in (2, 5):  # batches of any size
    y = network.call(np.load("x.npy")[:n], jax.random.key_data(jax.random.key(2)))
np.save("y.npy", y)
"""


def test_an_exported_network_runs_with_jax_alone(x, tmp_path):
    pytest.importorskip("flatbuffers")
    chip = nn.convert(nnx.Linear(20, 3, rngs=nnx.Rngs(0)), CONFIG, CHIP)
    interop.export_network(tmp_path / "network.jax", chip, x, platforms=["cpu"])
    np.save(tmp_path / "x.npy", x)
    subprocess.run([sys.executable, "-c", RUN], cwd=tmp_path, check=True, timeout=120)
    # A charge beside a tie may fall to its other code, where the compiler adds in another order.
    np.testing.assert_allclose(np.load(tmp_path / "y.npy"), outputs(chip, x), atol=2e-2)


def test_bad_networks_are_not_exported(network, x, tmp_path):
    with pytest.raises(ValueError, match="`model` must be a network on a chip"):
        interop.export_network(tmp_path / "network.jax", network, x)


class CountsItsExamples(nnx.Module):
    def __init__(self):
        self.layer = nnx.Linear(20, 3, rngs=nnx.Rngs(0))

    def __call__(self, inputs):
        return self.layer(inputs) if inputs.shape[0] > 3 else 2 * self.layer(inputs)


def test_bad_batches_of_any_size_are_refused_where_the_network_counts_them(x, tmp_path):
    chip = nn.convert(CountsItsExamples(), CONFIG, CHIP)
    with pytest.raises(ValueError, match="needs to know the number of examples of a call; give it by"):
        interop.export_network(tmp_path / "network.jax", chip, x, platforms=["cpu"])
