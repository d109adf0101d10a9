"""Sparse modified nodal analysis of crossbars in SciPy float64: the oracle of the mesh tests.

Unknowns are the node voltages and the current of every wire segment, so that segments of zero ohm and devices of
zero siemens are ordinary equations. Nothing here shares a formula with `jaxaimc.wires`.
"""

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg as spl


def mesh(g, v, r_row, r_col, r_row_end, r_col_end):
    """Column currents [A], row and column node voltages [V] of a crossbar for row voltages `v` of shape (..., rows)."""
    g = np.asarray(g, np.float64)
    rows, cols = g.shape
    nodes = 2 * rows * cols
    row_node = np.arange(rows * cols).reshape(rows, cols)
    col_node = rows * cols + row_node
    # Segments: row i from driver to column 0, then along the row; column j along the rows, then to the sense terminal.
    # Terminals are known voltages and take no unknown: index -1.
    starts, ends, ohms, source = [], [], [], []

    def segment(a, b, r, driven_by=-1):
        starts.append(a)
        ends.append(b)
        ohms.append(r)
        source.append(driven_by)

    for i in range(rows):
        segment(-1, row_node[i, 0], r_row_end, driven_by=i)
        for j in range(cols - 1):
            segment(row_node[i, j], row_node[i, j + 1], r_row)
    for j in range(cols):
        for i in range(rows - 1):
            segment(col_node[i, j], col_node[i + 1, j], r_col)
    sense = len(starts)
    for j in range(cols):
        segment(col_node[rows - 1, j], -1, r_col_end)

    scale = 1e-4  # currents in units of `scale` amperes: all pivots near one
    starts, ends, ohms, source = map(np.asarray, (starts, ends, ohms, source))
    branch = nodes + np.arange(len(starts))
    k = g.ravel() / scale
    a, b = row_node.ravel(), col_node.ravel()
    entries = [(a, a, k), (b, b, k), (a, b, -k), (b, a, -k), (branch, branch, -ohms * scale)]
    for node, sign in ((starts, 1.0), (ends, -1.0)):
        inner = node >= 0
        one = np.full(inner.sum(), sign)
        entries += [(node[inner], branch[inner], one), (branch[inner], node[inner], one)]
    i, j, value = (np.concatenate(x) for x in zip(*entries, strict=True))
    matrix = sp.csc_matrix((value, (i, j)), shape=(nodes + len(starts),) * 2)
    v = np.asarray(v, np.float64)
    vectors = v.reshape(-1, rows)
    rhs = np.zeros((matrix.shape[0], len(vectors)))
    driven = source >= 0
    rhs[branch[driven]] = -vectors.T[source[driven]]
    x = spl.splu(matrix).solve(rhs)
    current = scale * x[branch[sense:]].T
    shape = v.shape[:-1]
    nodes_of = lambda index: x[index.ravel()].T.reshape(*shape, rows, cols)  # noqa: E731
    return current.reshape(*shape, cols), nodes_of(row_node), nodes_of(col_node)
