"""The one compiled walk over rows and nodes; called by the engine with all rows (batch) or one (live)."""

from numba import njit

from mia.features.operators.context_dispatch import dispatch_context
from mia.features.operators.flow_dispatch import dispatch_flow
from mia.features.operators.price_dispatch import dispatch_price


@njit(cache=True)
def walk(code, input_start, inputs, state_start, param_start, params, values, state, row, out_node, out_scale, out):
    """Feed `values` (n, W) row by row through the nodes; changes `state` and `row`, fills `out` (n, C).

    `row` (W + N,) is scratch: the base series of the current bar, then the value of every node.
    """
    width = values.shape[1]
    nodes = code.shape[0]
    for t in range(values.shape[0]):
        for j in range(width):
            row[j] = values[t, j]
        for k in range(nodes):
            if code[k] < 100:
                value = dispatch_price(
                    code[k], row, inputs, input_start[k], state, state_start[k], params, param_start[k]
                )
            elif code[k] < 200:
                value = dispatch_flow(
                    code[k], row, inputs, input_start[k], state, state_start[k], params, param_start[k]
                )
            else:
                value = dispatch_context(
                    code[k], row, inputs, input_start[k], state, state_start[k], params, param_start[k]
                )
            row[width + k] = value
        for c in range(out_node.shape[0]):
            out[t, c] = row[width + out_node[c]] * out_scale[c]
