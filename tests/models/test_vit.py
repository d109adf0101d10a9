import dataclasses
import gzip
import hashlib
import tracemalloc
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from jaxaimc.tasks import checkpoints, load_model
from jaxaimc.tasks.score import mean_score
from jaxaimc.training import fit
from models.idx import IdxFile
from models.vit import ASSETS, DEBIAN, fashion_mnist, flip_and_shift


def test_the_embedded_network_reaches_its_recorded_accuracy():
    task = fashion_mnist()
    score = mean_score(task, load_model(task), task.split("test"))
    assert score >= 0.885
    facts = checkpoints.metadata(task.default_checkpoint)
    # A rounding elsewhere may turn over an image or two of the 10,000.
    assert score == pytest.approx(facts["score"], abs=5e-4)
    assert facts["recipe"] == task.recipe.describe()


def test_the_embedded_network_is_small():
    task = fashion_mnist()
    model = load_model(task)
    assert sum(x.size for x in jax.tree.leaves(nnx.state(model, nnx.Param))) == 105_418
    assert task.default_checkpoint.stat().st_size < 2e6
    graph, state = nnx.split(model)
    images = jnp.zeros((100, 28, 28), jnp.uint8)
    call = jax.jit(lambda state, images: nnx.merge(graph, state)(images))
    costs = call.lower(state, images).compile().cost_analysis()
    assert costs["flops"] / 100 < 5e6


@pytest.mark.skipif(not DEBIAN.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
def test_training_images_come_from_the_package():
    task = fashion_mnist()
    train, test = task.split("train"), task.split("test")
    assert train.inputs.shape == (60_000, 28, 28)
    assert np.bincount(train.targets).tolist() == [6000] * 10
    assert np.bincount(test.targets).tolist() == [1000] * 10
    patches = task.build(jax.random.key(0)).embedding
    assert patches.mean == pytest.approx(train.inputs.mean() / 255, abs=1e-4)
    assert patches.deviation == pytest.approx(train.inputs.std() / 255, abs=1e-4)
    named = fashion_mnist(DEBIAN).split("test")
    np.testing.assert_array_equal(named.inputs, test.inputs)


class EnoughError(Exception):
    pass


@pytest.mark.slow
@pytest.mark.skipif(not DEBIAN.is_dir(), reason="needs Debian's package dataset-fashion-mnist")
def test_the_recorded_training_is_reproduced_step_by_step():
    """The first epoch of the full run has the loss that the checkpoint records for it."""
    task, losses = fashion_mnist(), []

    def stop_after_an_epoch(progress):
        if progress.epoch > 1:
            raise EnoughError
        losses.append(progress.loss)

    with pytest.raises(EnoughError):
        fit(task, progress=stop_after_an_epoch)
    recorded = checkpoints.metadata(task.default_checkpoint)["losses"][0]
    # Rounding differs between CPUs; the learning itself does not.
    assert np.mean(losses) == pytest.approx(recorded, rel=5e-3)


def test_absent_training_images_and_unknown_parts_are_explained(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"train-images-idx3-ubyte\.gz and train-labels.*dataset-fashion-mnist"):
        fashion_mnist(tmp_path).split("train")
    with pytest.raises(ValueError, match="one of 'train', 'test', but is 'valid'"):
        fashion_mnist().split("valid")


def test_augmentation_mirrors_and_shifts_by_one_pixel():
    image = np.zeros((28, 28), np.uint8)
    image[10, 5] = 200
    changed = np.asarray(flip_and_shift(jax.random.key(0), jnp.array(np.repeat(image[None], 4000, 0))))
    assert changed.dtype == np.uint8
    np.testing.assert_array_equal(changed.sum((1, 2)), 200)
    places, counts = np.unique(np.argwhere(changed)[:, 1:], axis=0, return_counts=True)
    assert {tuple(place) for place in places} == {(y, x) for y in (9, 10, 11) for x in (4, 5, 6, 21, 22, 23)}
    # 18 equally likely places: chi-squared of 17 degrees of freedom, 3 sigma = 17 + 3 sqrt(34)
    assert ((counts - 4000 / 18) ** 2 / (4000 / 18)).sum() < 34.5
    # An image at the border loses what leaves it and wraps nothing around.
    corner = jnp.zeros((500, 28, 28), jnp.uint8).at[:, 0, 0].set(9)
    assert set(np.asarray(flip_and_shift(jax.random.key(1), corner)).sum((1, 2)).tolist()) == {0, 9}


@pytest.fixture
def labels():
    content = gzip.decompress((ASSETS / "t10k-labels-idx1-ubyte.gz").read_bytes())
    return IdxFile("labels.gz", (10_000,), hashlib.sha256(content).hexdigest()), content


def test_idx_reads_data_packed_anew(labels, tmp_path):
    file, content = labels
    (tmp_path / file.name).write_bytes(gzip.compress(content, 1))
    np.testing.assert_array_equal(file.read(tmp_path), fashion_mnist().split("test").targets)


def test_idx_explains_every_kind_of_damage(labels, tmp_path):
    file, content = labels
    path = tmp_path / file.name
    with pytest.raises(FileNotFoundError, match=r"There is no data file .*labels\.gz"):
        file.read(tmp_path)
    packed = gzip.compress(content)
    for damaged, message in [
        (packed[:-100], "truncated or not gzipped"),
        (packed[:200] + b"spoiled" + packed[207:], "truncated or not gzipped"),
        (content, "truncated or not gzipped"),
        (gzip.compress(b""), "must start with the bytes 00000801 .* but starts with nothing"),
        (gzip.compress(b"\x00\x00\x0d\x01" + content[4:]), "starts with 00000d01"),
        (gzip.compress(content[:6]), r"must have shape \(10000,\), but has shape \(\)"),
        (gzip.compress(content[:7] + b"\x11" + content[8:]), r"must have shape \(10000,\), but has shape \(10001,\)"),
        (gzip.compress(content[:-1]), "must hold 10000 numbers, but holds 9999"),
        (gzip.compress(content[:-1] + b"\x09"), "must have the checksum"),
    ]:
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=message):
            file.read(tmp_path)


def test_s7_what_a_small_file_unpacks_to_is_not_read_past_its_length(labels, tmp_path):
    file, content = labels
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    packed = [packer.compress(content), *[packer.compress(bytes(10_000_000)) for _ in range(20)], packer.flush()]
    (tmp_path / file.name).write_bytes(b"".join(packed))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"labels\.gz' must hold 10000 numbers, but holds more"):
            file.read(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 5e6
    finally:
        tracemalloc.stop()


def test_a_checkpoint_that_does_not_fit_is_refused():
    task = fashion_mnist()
    narrow = dataclasses.replace(task, build=lambda key: nnx.Linear(2, 3, rngs=nnx.Rngs(key)))
    with pytest.raises(checkpoints.CheckpointError, match=r"tensor 'kernel' of shape \(2, 3\) is missing"):
        load_model(narrow)
