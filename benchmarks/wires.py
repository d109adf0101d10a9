"""Wires against the plain product: exact mesh, effective matrix, open idle cells; ratios within one run.

    python -m benchmarks.wires [--size 512] [--skip-splu] [--open-idle]

The unit is one GEMM: size x size, batch 128, float32, in the same run; on all cores, and on one core, because the scans
of the line solves run on one core only. Every solve is certified by its own residual and, for the mesh, by the
double-precision solve of the same circuit.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import time
from functools import partial

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks._timing import medians
from jaxaimc.wires import Blocks, IdleMethod, MeanField, Mesh, OpenIdle, Placement
from jaxaimc.wires.elimination import transfer_matrix

STRUCTURES = {
    "uniform .1-25 uS, 1 ohm": (1.0, lambda rng, n: rng.uniform(0.1e-6, 25e-6, (n, n))),
    "checkerboard 0/25 uS": (1.0, lambda rng, n: 25e-6 * ((np.arange(n)[:, None] + np.arange(n)) % 2)),
    "half empty": (1.0, lambda rng, n: np.where(np.arange(n)[:, None] < n // 2, 25e-6, 0.0) * np.ones(n)),
    "hot corner": (1.0, lambda rng, n: np.where((np.indices((n, n)) < n // 8).all(0), 1e-4, 1e-7)),
    "10 % at 100 uS": (1.0, lambda rng, n: np.where(rng.random((n, n)) < 0.1, 1e-4, 1e-6)),
    "100 uS, 5 ohm": (5.0, lambda rng, n: np.full((n, n), 1e-4)),
}


def seconds(f, *args, repeats):
    jax.block_until_ready(f(*args))
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        jax.block_until_ready(f(*args))
        times.append(time.perf_counter() - start)
    return statistics.median(times), min(times)


def gemm_seconds(n):
    """Time the unit: median and best."""
    rng = np.random.default_rng(3)
    a, b = (jnp.asarray(rng.normal(size=s), jnp.float32) for s in ((128, n), (n, n)))
    return seconds(jax.jit(lambda a, b: jnp.matmul(a, b, precision="highest")), a, b, repeats=400)


def gemm_seconds_on_one_core(n):
    """Time the unit in a process that has one core: XLA takes the cores it finds when it starts."""
    program = (
        f"import os; os.sched_setaffinity(0, {{{min(os.sched_getaffinity(0))}}}); "
        f"from benchmarks.wires import gemm_seconds; print(*gemm_seconds({n}))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return tuple(float(x) for x in done.stdout.split()[-2:])


class Table:
    """Rows of median and best time, as milliseconds and as ratios to the GEMM's own median and best."""

    def __init__(self, gemm, one_core):
        self.gemm = gemm
        self.one_core = one_core

    def row(self, name, times, note=""):
        """Print one line."""
        on_all, on_one = (
            "/".join(f"{t / g:.1f}" for t, g in zip(times, unit, strict=True)) for unit in (self.gemm, self.one_core)
        )
        milliseconds = "/".join(f"{1e3 * t:.2f}" for t in times)
        print(f"{name:44s} {milliseconds:>19s} ms  {on_all:>15s} GEMMs  {on_one:>15s} on one core  {note}", flush=True)


def peak_memory():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def exact_currents(g, v, r):
    with jax.enable_x64(True):
        return np.asarray(jax.jit(Mesh(r_row=r, r_col=r).read)(jnp.asarray(g), jnp.asarray(v)).current)


def splu_seconds(g, v):
    """Nodal equations with conductances, one factorisation, all right-hand sides at once."""
    import scipy.sparse as sp
    import scipy.sparse.linalg as spl

    n = len(g)
    line = sp.diags(np.r_[2.0 * np.ones(n - 1), 1.0]) - sp.eye(n, k=1) - sp.eye(n, k=-1)
    rows = sp.kron(sp.eye(n), line)  # driven at column 0, open after the last
    cols = sp.kron(line.tocsr()[::-1, ::-1], sp.eye(n))  # open before row 0, sensed after the last
    load = sp.diags(g.ravel())
    matrix = sp.bmat([[rows + load, -load], [-load, cols + load]], format="csc")
    rhs = np.zeros((2 * n * n, len(v)))
    rhs[np.arange(n) * n] = v.T
    start = time.perf_counter()
    x = spl.splu(matrix).solve(rhs)
    return time.perf_counter() - start, x[n * n :].reshape(n, n, -1)[-1].T


def mesh_table(table, n, skip_splu):
    rng = np.random.default_rng(0)
    g = STRUCTURES["uniform .1-25 uS, 1 ohm"][1](rng, n)
    vectors = rng.uniform(0, 0.2, (10_000, n))
    single = lambda x: jnp.asarray(x, jnp.float32)  # noqa: E731
    mesh, g32, v32 = Mesh(), single(g), single(vectors)

    read = jax.jit(mesh.read)
    one = seconds(read, g32, v32[0], repeats=30)
    found, exact = read(g32, v32[0]), exact_currents(g, vectors[0], 1.0)
    error = np.max(np.abs(found.current - exact)) / np.max(exact)
    drop = 1 - exact.sum() / (vectors[0] @ g).sum()
    note = f"mean drop {drop:.0%}, error {error:.1e}, residual {float(found.outcome.residual):.1e}"
    table.row("mesh, one vector", one, f"{note}, {int(found.outcome.iterations)} iterations")
    loss = jax.jit(jax.grad(lambda g, v: jnp.sum(1e3 * mesh.read(g, v).current), (0, 1)))
    gradient = seconds(loss, g32, v32[0], repeats=15)
    table.row(
        "  value and gradient in g and v", gradient, f"{gradient[0] / one[0]:.1f}/{gradient[1] / one[1]:.1f} x forward"
    )

    fold = jax.jit(lambda g: transfer_matrix(mesh.crossbar(g)))
    matrix = fold(g32)
    error = np.max(np.abs(vectors[0] @ np.asarray(matrix, float) - exact)) / np.max(exact)
    table.row("effective matrix", seconds(fold, g32, repeats=7), f"error {error:.1e}")
    print(f"{'':44s} peak memory so far {peak_memory():.0f} MiB")
    many = seconds(read, g32, v32[:128], repeats=5)
    table.row("mesh, 128 vectors (matrix, certified)", many)
    one_by_one = jax.jit(Mesh(solve_up_to=128).read)
    table.row("mesh, 128 vectors (one by one)", seconds(one_by_one, g32, v32[:128], repeats=2))
    product = jax.jit(lambda v, m: jnp.matmul(v, m, precision="highest"))
    table.row("10,000 vectors through the matrix", seconds(product, v32, matrix, repeats=5), "78.1 GEMMs of work")
    if not skip_splu:
        direct, current = splu_seconds(g, vectors[:128])
        table.row("scipy splu, 128 right-hand sides", (direct, direct), f"{direct / many[0]:.0f} x our 128")
        print(f"{'':44s} agreement of splu and our double precision {np.max(np.abs(current[0] / exact - 1)):.1e}")


def structured_table(table, n):
    rng = np.random.default_rng(1)
    v = rng.uniform(-0.2, 0.2, n)
    for name, (r, make) in STRUCTURES.items():
        g = make(rng, n)
        mesh = Mesh(r_row=r, r_col=r)
        read = jax.jit(mesh.read)
        g32, v32 = jnp.asarray(g, jnp.float32), jnp.asarray(v, jnp.float32)
        found, exact = read(g32, v32), exact_currents(g, v, r)
        folded = v @ np.asarray(transfer_matrix(mesh.crossbar(g32)), float)
        scale = np.max(np.abs(exact))
        errors = [np.max(np.abs(x - exact)) / scale for x in (found.current, folded)]
        note = f"residual {float(found.outcome.residual):.1e}, {int(found.outcome.iterations)} iterations, "
        note += f"error {errors[0]:.1e}, matrix {errors[1]:.1e}"
        table.row(f"one vector: {name}", seconds(read, g32, v32, repeats=5), note)


def open_idle_table(table, n):
    rng = np.random.default_rng(2)
    w = rng.normal(size=(n, n))
    g = jnp.asarray(np.stack([np.maximum(w, 0), np.maximum(-w, 0)]) / np.abs(w).max() * 25e-6, jnp.float32)
    x = rng.normal(size=(4, n))
    level = jnp.asarray(np.round(x / np.abs(x).max(1, keepdims=True) * 127) / 127, jnp.float32)
    exact, effect = None, 1.0
    for steps in (127, 32, 16, 8):
        wires = OpenIdle(steps=steps)
        circuit = wires.effective(g, (1.0, -1.0), Placement(rows=n, cols=n)).circuit
        charge = jax.jit(lambda circuit, level: circuit.charge(level, steps=0, timed=True, v_read=0.2))
        found = charge(circuit, level)
        if exact is None:
            exact = found
            effect = jnp.sqrt(jnp.mean((exact - level @ (g[0] - g[1])) ** 2))
        error = float(jnp.sqrt(jnp.mean((found - exact) ** 2)) / effect)
        note = "exact" if steps == 127 else f"error {error:.2%} of the IR drop's effect (rms)"
        table.row(
            f"open idle, 8-bit PWM, {steps} steps, per vector", seconds(charge, circuit, level[:1], repeats=10), note
        )
    open_idle_methods(table, g)
    print(f"{'':44s} peak memory {peak_memory():.0f} MiB")


def open_idle_methods(table, g):
    """Batch 128 by each method, and value and gradient (conductances and pulses) over the same without a gradient."""
    n = g.shape[1]
    place = Placement(rows=n, cols=g.shape[2])
    x = np.random.default_rng(4).normal(size=(128, n))
    level = jnp.asarray(np.round(x / np.abs(x).max(1, keepdims=True) * 127) / 127, jnp.float32)
    read = jax.jit(lambda circuit, level: circuit.charge(level, steps=127, timed=True, v_read=0.2))

    def circuit(method: IdleMethod, g):
        wires = OpenIdle(r=1.0, method=method)
        profile = jnp.mean(wires.activity(level, steps=127, timed=True), axis=0)[None]
        return wires.effective(g, (1.0, -1.0), place, profile).circuit

    exact = read(OpenIdle(r=1.0).effective(g, (1.0, -1.0), place).circuit, level)
    effect = jnp.sqrt(jnp.mean((exact - level @ (g[0] - g[1])) ** 2))
    for name, method in {
        "blocks": Blocks(),
        "blocks, error 0.05": Blocks(error=0.05),
        "mean field": MeanField(),
        "mean field, 8 x 3": MeanField(bins=8, activities=(0.7, 1.0, 1.4)),
    }.items():
        prepared = circuit(method, g)
        error = float(jnp.sqrt(jnp.mean((read(prepared, level) - exact) ** 2)) / effect)
        note = f"error {error:.2%} of the IR drop's effect (rms)"
        table.row(f"open idle, {name}, batch 128", seconds(read, prepared, level, repeats=15), note)
        both = jax.jit(lambda g, level, method=method: read(circuit(method, g), level))
        table.row("  prepared in the call", seconds(both, g, level, repeats=9))
        of_read = jax.jit(jax.value_and_grad(lambda c, level: jnp.sum(jnp.sin(1e4 * read(c, level))), argnums=(0, 1)))
        of_both = jax.jit(jax.value_and_grad(lambda g, level, f=both: jnp.sum(jnp.sin(1e4 * f(g, level))), (0, 1)))
        pairs = (("read", read, prepared), ("slopes", of_read, prepared), ("whole", both, g), ("of all", of_both, g))
        # In turn: a read by itself takes a quarter more or less from one minute to the next.
        times = medians({key: partial(f, given, level) for key, f, given in pairs}, rounds=9)
        ratios = times["slopes"] / times["read"], times["of all"] / times["whole"]
        print(f"{'':44s} value and gradient {ratios[0]:.1f} reads, {ratios[1]:.1f} with preparing", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=512, help="rows and columns of the array")
    parser.add_argument("--skip-splu", action="store_true", help="leave the sparse direct solver out")
    parser.add_argument("--open-idle", action="store_true", help="open idle cells alone")
    options = parser.parse_args()
    n = options.size
    table = Table(gemm_seconds(n), gemm_seconds_on_one_core(n))
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}, {n} x {n}; median/best of repeats")
    table.row("GEMM", table.gemm)
    if not options.open_idle:
        mesh_table(table, n, options.skip_splu)
        structured_table(table, n)
    open_idle_table(table, n)
    table.row("GEMM again", gemm_seconds(n))


if __name__ == "__main__":
    main()
