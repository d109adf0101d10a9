"""Runs that are killed, that run beside each other, and whose disk is full: the table is that of an undisturbed run."""

import itertools
import random
import time

import killed
import polars as pl
import pytest

from jaxaimc.sweeps import DamagedChunkWarning


def chunks(folder):
    return len(list(folder.glob("chunks/*.parquet")))


def kill_and_compare(folder, times, *, jax):
    moments = random.Random(1)
    sizes = [0]
    for _ in range(times):
        child = killed.Child(folder, jax=jax)
        child.go()
        target = sizes[-1] + moments.randint(1, 150 // times)
        while chunks(folder) < target:
            time.sleep(0.001)
        time.sleep(moments.uniform(0.0, 0.02))
        child.kill()
        sizes.append(chunks(folder))
    assert all(before < after < 200 for before, after in itertools.pairwise(sizes)), sizes
    computed = []
    table = killed.whole(folder, jax=jax, progress=lambda progress: computed.append(progress.computed))
    # Not a chunk that was there was computed again.
    assert computed[-1] == 4 * (200 - sizes[-1])
    undisturbed = killed.whole(jax=jax)
    assert table.equals(undisturbed)
    assert pl.read_parquet(folder / "sweep.parquet").equals(undisturbed)


def test_a_sweep_that_is_killed_goes_on(tmp_path):
    kill_and_compare(tmp_path, 1, jax=False)


@pytest.mark.slow
def test_a_sweep_that_is_killed_ten_times_goes_on(tmp_path):
    kill_and_compare(tmp_path, 10, jax=True)


def test_two_runs_into_one_folder_end_with_the_same_table_and_share_the_work(tmp_path):
    child = killed.Child(tmp_path, jax=False)
    child.go()
    computed = []
    keep = computed.append
    table = killed.whole(tmp_path, jax=False, progress=lambda progress: keep(progress.computed), pause=0.01)
    total = child.computed() + computed[-1]
    undisturbed = killed.whole(jax=False)
    assert table.equals(undisturbed)
    assert pl.read_parquet(tmp_path / "sweep.parquet").equals(undisturbed)
    assert 0 < computed[-1] < 800
    assert 800 <= total < 1200, "they computed the same"


def test_a_full_disk_ends_in_one_sentence_and_loses_nothing(small_disk):
    disk, grow = small_disk
    with pytest.raises(OSError, match=r"disk is full: [\d,]+ results of this run are kept in .* goes on from there\.$"):
        killed.whole(disk / "sweep", jax=False)
    kept = len(list((disk / "sweep" / "chunks").glob("*.parquet")))
    assert kept > 0
    assert grow().returncode == 0
    computed = []
    table = killed.whole(disk / "sweep", jax=False, progress=lambda progress: computed.append(progress.computed))
    assert computed[-1] == 4 * (200 - kept)
    assert table.equals(killed.whole(jax=False))


def test_a_chunk_that_is_truncated_while_another_run_reads_it(tmp_path):
    killed.whole(tmp_path, jax=False)
    for path in sorted((tmp_path / "chunks").iterdir())[::50]:
        path.write_bytes(path.read_bytes()[:99])
    with pytest.warns(DamagedChunkWarning) as said:
        table = killed.whole(tmp_path, jax=False)
    assert len(said) == 4
    assert table.equals(killed.whole(jax=False))
