"""The one compiled walk over rows and nodes; called by the engine with all rows (batch) or one (live)."""

from numba import njit

from mia.features.operators.context_dispatch import dispatch_context
from mia.features.operators.flow_dispatch import dispatch_flow
from mia.features.operators.price_dispatch import dispatch_price
from mia.features.pointers import address, later

BLOCK = 32
"""Rows a node is fed before its neighbour: their values fit the nearest cache, and the choice of the operator,
its parameters and its state are at hand for all but the first of them."""


@njit(cache=True, error_model="numpy")
def walk(sizes, wiring, numbers, values, state, table, out):
    """Feed `values` (n, W), flattened, through the nodes; changes `state` and `table`, fills `out` (n, C), flattened.

    Parameters
    ----------
    sizes : [n, W, N, C, stride of the table] int64
    wiring : (4 N + inputs + C,) int64: opcodes, first input, state and parameter of every node; nodes of the
        columns; the inputs
    numbers : (C + parameters,) float64: factors of the columns, then the parameters
    table : (BLOCK * stride,) float64 scratch; a row holds the base series of one bar, then every node's value
    """
    n, width, nodes, columns, stride = sizes[0], sizes[1], sizes[2], sizes[3], sizes[4]
    code, scale, rows, grid = address(wiring), address(numbers), address(values), address(table)
    input_start, state_start, param_start = later(code, nodes), later(code, 2 * nodes), later(code, 3 * nodes)
    source = later(code, 4 * nodes)
    x, p, s, target = later(source, columns), later(scale, columns), address(state), address(out)
    for first in range(0, n, BLOCK):
        count = min(BLOCK, n - first)
        for t in range(count):
            row, given = later(grid, t * stride), later(rows, (first + t) * width)
            for j in range(width):
                row[j] = given[j]
        for k in range(nodes):
            operator, i, o, q = code[k], input_start[k], state_start[k], param_start[k]
            if operator < 100:
                dispatch_price(operator, grid, stride, count, width + k, x, i, s, o, p, q)
            elif operator < 200:
                dispatch_flow(operator, grid, stride, count, width + k, x, i, s, o, p, q)
            else:
                for t in range(count):
                    v = later(grid, t * stride)
                    v[width + k] = dispatch_context(operator, v, x, i, s, o, p, q)
        for t in range(count):
            v, line = later(grid, t * stride + width), later(target, (first + t) * columns)
            for c in range(columns):
                line[c] = v[source[c]] * scale[c]
