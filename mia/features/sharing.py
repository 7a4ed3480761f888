"""Components of the same members share what they see of them; used by the engine when it lays out its wiring.

Three components over sixty columns would scale and clip each of them three times. The first of such nodes writes its
views of the members into spare columns of the walk's table, the others read them there. Values do not change.
"""

from collections.abc import Iterator

import numpy as np

from mia.features.operators.flow_context import MEMBER_NUMBERS, PCA_FIRST, PCA_HEAD, PCA_OTHERS, PCA_SCORE
from mia.features.plan import Plan

Array = np.ndarray


def shared(plan: Plan, width: int) -> tuple[Array, Array, Array, int]:
    """Return opcodes (N,), first inputs (N,), the inputs, and how many spare columns follow the table's `width`."""
    code, start = plan.code.copy(), plan.input_start.copy()
    inputs, spare = [plan.inputs], 0
    for nodes in _groups(plan):
        code[nodes[0]], code[nodes[1:]] = PCA_FIRST, PCA_OTHERS
        members = len(plan.nodes[nodes[0]].inputs)
        at = int(plan.input_start[nodes[0]])
        start[nodes] = sum(map(len, inputs))
        inputs.append(np.append(plan.inputs[at : at + members], width + spare))
        spare += members + 1
    return code, start, np.concatenate(inputs), spare


def _groups(plan: Plan) -> Iterator[list[int]]:
    """Numbers of fitted nodes, two or more, that see the same members the same way."""
    found: dict[tuple[tuple[str, ...], bytes], list[int]] = {}
    for k, node in enumerate(plan.nodes):
        if plan.code[k] == PCA_SCORE.opcode:
            first = int(plan.param_start[k]) + PCA_HEAD
            block = plan.params[first : first + MEMBER_NUMBERS * len(node.inputs)].reshape(-1, MEMBER_NUMBERS).copy()
            block[:, -1] = block[:, -1] != 0.0
            if not np.isnan(block).any():
                found.setdefault((node.inputs, block.tobytes()), []).append(k)
    yield from (nodes for nodes in found.values() if len(nodes) > 1)
