"""Residual networks against PyTorch's (`torch_files/make.py`) and published figures; CIFAR-10 in its three forms."""

import json
import os
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxaimc import nn
from jaxaimc.tasks import checkpoints, load_model, weights
from jaxaimc.tasks.score import mean_score
from models.cifar import cifar10, flip_and_crop
from models.cifar_files import read_images
from models.resnet import ResNet, cifar_resnet, imagenet_resnet, normalised
from models.resnet_weights import load
from models.weights import read

FILES = Path(__file__).parent / "torch_files"
DATA = Path(os.environ.get("JAXAIMC_DATA") or Path(__file__).parents[3] / "shared" / "data")
KEY = jax.random.key(0)


@nnx.jit
def called(network, images):
    return network(images)


@pytest.mark.parametrize("name", ["cifar", "basic", "bottleneck"])
def test_outputs_are_those_of_pytorch(name):
    network = load(FILES / f"{name}.pt")
    wanted = np.load(FILES / f"{name}.npz")
    np.testing.assert_allclose(called(network, wanted["images"]), wanted["logits"], atol=2e-6)


@pytest.mark.parametrize(
    ("make", "depth", "parameters"),
    [
        # He et al. 2016, table 6, and the counts that torchvision states.
        (cifar_resnet, 20, 0.27e6),
        (cifar_resnet, 32, 0.46e6),
        (cifar_resnet, 56, 0.85e6),
        (imagenet_resnet, 18, 11_689_512),
        (imagenet_resnet, 50, 25_557_032),
    ],
)
def test_networks_have_as_many_parameters_as_published(make, depth, parameters):
    blank = nnx.eval_shape(lambda: make(depth, rngs=nnx.Rngs(0)))
    count = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(blank, nnx.Param)))
    assert count == pytest.approx(parameters, abs=0.5 * 10 ** int(np.log10(parameters) - 1) if parameters < 5e6 else 0)


def test_all_normalisations_can_be_folded():
    network = load(FILES / "bottleneck.pt")
    folded = nn.fold_batch_norm(network, normalised(network))
    assert not any(isinstance(module, nnx.BatchNorm) for _, module in nnx.iter_modules(folded))
    wanted = np.load(FILES / "bottleneck.npz")
    np.testing.assert_allclose(called(folded, wanted["images"]), wanted["logits"], atol=5e-6)


def test_training_moves_the_running_statistics():
    network = ResNet(blocks=(1,), width=4, classes=3, rngs=nnx.Rngs(0))
    before = jax.tree.map(jnp.copy, nnx.state(network, nnx.BatchStat))
    images = jax.random.randint(KEY, (4, 8, 8, 3), 0, 256)

    @nnx.jit
    @nnx.grad
    def gradient_of_loss(network):
        return jnp.mean(network(images)[:, 0] ** 2)

    gradient = gradient_of_loss(network)
    assert all(float(jnp.abs(leaf).max()) > 0 for leaf in jax.tree.leaves(gradient["stages"]))
    after = nnx.state(network, nnx.BatchStat)
    assert all((a != b).any() for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True))


def test_bad_networks_are_refused():
    for depth in (21, 2, 0):
        with pytest.raises(ValueError, match=rf"`depth` must be 6 n \+ 2, such as 20, .* 110, but is {depth}"):
            cifar_resnet(depth, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="must be one of 18, 34, 50, 101, 152, but is 20"):
        imagenet_resnet(20, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="`blocks` of ResNet must be at least 1, but is 0"):
        ResNet(blocks=(1, 0), width=4, classes=3, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="one number for each of the 3 channels, but has 1"):
        ResNet(blocks=(1,), width=4, classes=3, deviation=(0.2,), rngs=nnx.Rngs(0))
    network = ResNet(blocks=(1,), width=4, classes=3, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"must have shape \(batch, height, width, 3\), but has shape \(8, 8, 3\)"):
        network(jnp.zeros((8, 8, 3)))


def test_bad_weights_are_explained(tmp_path):
    path = tmp_path / "w.npz"
    np.savez(path, kernel=np.ones(3, np.float32))
    with pytest.raises(ValueError, match=r"w\.npz' holds no residual network .* 'conv1.weight'.* but has 'kernel'"):
        load(path)
    tensors = read(FILES / "cifar.pt")
    np.savez(path, **{name: array for name, array in tensors.items() if name != "layer2.0.bn1.bias"})
    with pytest.raises(ValueError, match=r"w\.npz' holds no residual .*missing: 'stages/1/0/norm1/bias'"):
        load(path)
    np.savez(path, **(tensors | {"layer1.0.conv1.weight": np.ones((4, 4, 3, 5), np.float32)}))
    with pytest.raises(ValueError, match=r"'stages/0/0/conv1/kernel' has shape \(3, 5, 4, 4\) instead"):
        load(path)
    # The names that training on several devices gives are read as well.
    np.savez(path, **{f"module.{name}": array for name, array in tensors.items()})
    wanted = np.load(FILES / "cifar.npz")
    np.testing.assert_allclose(called(load(path), wanted["images"]), wanted["logits"], atol=2e-6)


def images(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (count, 32, 32, 3), np.uint8), rng.integers(0, 10, count)


def write_archive(folder, part, x, y):
    np.savez(folder / f"cifar10_{part}_first{len(x)}_uint8.npz", x=x, y=y.astype(np.uint8))


def write_binary(folder, part, x, y):
    records = np.concatenate([y[:, None].astype(np.uint8), x.transpose(0, 3, 1, 2).reshape(len(x), -1)], axis=1)
    names = ["test_batch"] if part == "test" else [f"data_batch_{i}" for i in range(1, 6)]
    for name, some in zip(names, np.array_split(records, len(names)), strict=True):
        some.tofile(folder / f"{name}.bin")


def write_sheets(folder, part, x, y):
    image = pytest.importorskip("PIL.Image", reason="needs Pillow (the [app] extra)")
    names = ["test_batch"] if part == "test" else [f"data_batch_{i}" for i in range(1, 6)]
    for name, some in zip(names, np.array_split(x.reshape(len(x), 1024, 3), len(names)), strict=True):
        image.fromarray(some).save(folder / f"{name}.png")
    (folder / f"{part}_lables.json").write_text(json.dumps(y.tolist()))


@pytest.mark.parametrize("write", [write_archive, write_binary, write_sheets])
@pytest.mark.parametrize("part", ["train", "test"])
def test_each_form_of_the_data_is_read(write, part, tmp_path):
    x, y = images(10)
    write(tmp_path, part, x, y)
    found, labels = read_images(tmp_path, part)
    np.testing.assert_array_equal(found, x, strict=True)
    np.testing.assert_array_equal(labels, y)
    split = cifar10(tmp_path).split(part)
    assert split.inputs.dtype == np.uint8
    assert len(split) == 10


def test_bad_data_are_explained(tmp_path, monkeypatch):
    for variable in ("JAXAIMC_DATA", "JAXAIMC_RESNET"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(FileNotFoundError, match="environment variable JAXAIMC_DATA"):
        cifar10()
    with pytest.raises(FileNotFoundError, match=r"one of 'cifar10_test\*\.npz', 'test_batch\.png', 'test_batch\.bin'"):
        cifar10(tmp_path).split("test")
    with pytest.raises(ValueError, match="one of 'train', 'test', but is 'dev'"):
        cifar10(tmp_path).split("dev")
    x, y = images(4)
    binary = tmp_path / "binary"
    binary.mkdir()
    write_binary(binary, "test", x, np.array([0, 1, 10, 2]))
    with pytest.raises(ValueError, match="must be 0 to 9, but are 0 to 10"):
        read_images(binary, "test")
    (binary / "test_batch.bin").write_bytes(b"123")
    with pytest.raises(ValueError, match="must hold records of 3073 bytes, but has 3 bytes"):
        read_images(binary, "test")
    (binary / "data_batch_1.bin").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"no data file .*data_batch_2\.bin"):
        read_images(binary, "train")
    archive = tmp_path / "archive"
    archive.mkdir()
    for content, message in [
        ({"x": x}, "no archive with arrays 'x' and 'y'"),
        ({"x": x[:, :8], "y": y}, "must hold unsigned bytes"),
        ({"x": x.astype(np.float32), "y": y}, "but holds float32"),
        ({"x": x, "y": y[:3]}, "have 4 images and 3 labels"),
        ({"x": x[:0], "y": y[:0]}, "have 0 images and 0 labels"),
    ]:
        np.savez(archive / "cifar10_test.npz", **content)
        with pytest.raises(ValueError, match=message):
            read_images(archive, "test")
    (archive / "cifar10_test.npz").write_bytes(b"PK")
    with pytest.raises(ValueError, match="no archive with arrays"):
        read_images(archive, "test")


def test_bad_sheets_are_explained(tmp_path):
    image = pytest.importorskip("PIL.Image", reason="needs Pillow (the [app] extra)")
    x, y = images(4)
    write_sheets(tmp_path, "test", x, y)
    sheet, labels = tmp_path / "test_batch.png", tmp_path / "test_lables.json"
    for text, message in [("[0, 1, 2, 10]", "must be 0 to 9"), ("[0, 1, 2, 1e3]", "must be a list of whole numbers"),
                          ("[0, 1, 2, 4294967296]", "must be 0 to 9"), ("[0, 1]", "have 4 images and 2 labels"),
                          ("[", "is no JSON"), ('{"a": 1}', "must be a list")]:  # fmt: skip
        labels.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_images(tmp_path, "test")
    labels.write_text("[0, 1, 2, 3]")
    content = sheet.read_bytes()
    for bad in (content[: len(content) // 2], b"GIF89a", b""):
        sheet.write_bytes(bad)
        with pytest.raises(ValueError, match=r"test_batch\.png' is truncated or no PNG image"):
            read_images(tmp_path, "test")
    image.fromarray(np.zeros((4, 1024), np.uint8)).save(sheet)
    with pytest.raises(ValueError, match="must be a PNG image, RGB, 1024 pixels wide, but is L, 1024"):
        read_images(tmp_path, "test")


def test_images_are_mirrored_and_shifted():
    x = np.zeros((400, 32, 32, 3), np.uint8)
    x[:, 10, 20] = (1, 2, 3)
    found = np.asarray(jax.jit(flip_and_crop)(KEY, x))
    where = np.argwhere(found[..., 2] == 3)
    assert len(where) == 400  # none left the image, and colours stay together
    assert (found[tuple(where.T)] == (1, 2, 3)).all()
    assert set(where[:, 1]) == set(range(6, 15))
    assert set(where[:, 2]) == {*range(16, 25), *range(7, 16)}
    assert abs((where[:, 2] > 15).mean() - 0.5) < 0.1


def test_the_task_takes_published_weights_and_its_own(tmp_path, monkeypatch):
    x, y = images(6)
    write_archive(tmp_path, "test", x, y)
    monkeypatch.delenv("JAXAIMC_DATA", raising=False)
    monkeypatch.setenv("JAXAIMC_RESNET", str(FILES / "cifar.pt"))
    task = cifar10(tmp_path)
    network = load_model(task)
    wanted = np.load(FILES / "cifar.npz")
    np.testing.assert_allclose(called(network, wanted["images"]), wanted["logits"], atol=2e-6)
    # Depth and width are those of the file, also for a network that is trained anew and stored by the library.
    built = task.build(KEY)
    assert jax.tree.map(jnp.shape, weights(built)) == jax.tree.map(jnp.shape, weights(network))
    checkpoints.save(tmp_path / "own.safetensors", weights(built))
    np.testing.assert_array_equal(
        load_model(task, tmp_path / "own.safetensors").conv.kernel[...], built.conv.kernel[...]
    )
    other = load_model(task, FILES / "basic.pt")  # named as the checkpoint, any published file will do
    assert other.large
    monkeypatch.setenv("JAXAIMC_RESNET", str(tmp_path / "absent.th"))
    with pytest.raises(FileNotFoundError, match=r"JAXAIMC_RESNET must name a file, but there is no .*absent\.th"):
        cifar10(tmp_path)
    monkeypatch.delenv("JAXAIMC_RESNET")
    with pytest.raises(FileNotFoundError, match="comes without trained weights"):
        load_model(cifar10(tmp_path))
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        load_model(cifar10(tmp_path), tmp_path / "absent.th")


@pytest.mark.skipif(
    not (DATA / "resnet20_cifar10").is_dir() or not (DATA / "cifar10").is_dir(),
    reason="needs the folders resnet20_cifar10 and cifar10 (JAXAIMC_DATA)",
)
def test_the_published_network_has_its_published_error(monkeypatch):
    monkeypatch.setenv("JAXAIMC_DATA", str(DATA))
    monkeypatch.delenv("JAXAIMC_RESNET", raising=False)
    task = cifar10()
    test = task.split("test")
    error = 1 - mean_score(task, load_model(task), test)
    published = 0.0827
    # Two standard deviations of a sample of this size.
    assert abs(error - published) < 2 * np.sqrt(published * (1 - published) / len(test))
