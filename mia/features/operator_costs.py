"""What each operator of a plan costs per bar; used by the benchmark and by whoever makes one faster."""

import time
from dataclasses import dataclass, replace

import numpy as np

from mia.features.engine import FeatureEngine, stride_of
from mia.features.kernel import BLOCK, walk
from mia.features.plan import Plan
from mia.features.sharing import shared

Array = np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorCost:
    """One operator's share.

    Parameters
    ----------
    op : its name
    nodes : how many nodes of the plan use it
    ns : CPU time of all of them together [ns/bar]
    """

    op: str
    nodes: int
    ns: float


def operator_costs(plan: Plan, values: Array, rounds: int = 9) -> list[OperatorCost]:
    """Time every operator's nodes alone, fed with what they get in the whole walk; dearest first.

    The walk runs once and what every node says is kept as if it were a base series. Then the nodes of one operator
    at a time walk over that table. Of `rounds` interleaved repeats the least counts, less that of a walk without nodes.

    Parameters
    ----------
    values : (T, W) float64 base series
    """
    wide = np.concatenate([values, _node_values(plan, values)], axis=1)
    ops = sorted({node.op for node in plan.nodes})
    chosen = {op: np.array([k for k, node in enumerate(plan.nodes) if node.op == op]) for op in ops}
    chosen[""] = np.empty(0, dtype=np.int64)
    best = dict.fromkeys(chosen, np.inf)
    for _ in range(rounds):
        for op, nodes in chosen.items():
            best[op] = min(best[op], _seconds(plan, wide, nodes))
    empty = best.pop("")
    costs = [
        OperatorCost(op=op, nodes=len(chosen[op]), ns=max(0.0, (seconds - empty) / len(values) * 1e9))
        for op, seconds in best.items()
    ]
    return sorted(costs, key=lambda cost: -cost.ns)


def _node_values(plan: Plan, values: Array) -> Array:
    """(T, N) what every node says."""
    count = len(plan.nodes)
    names = tuple(f"node {k}" for k in range(count))
    whole = replace(plan, names=names, service=(), out_node=np.arange(count), out_scale=np.ones(count))
    return FeatureEngine(whole).batch(values)


def _seconds(plan: Plan, wide: Array, nodes: Array) -> float:
    """CPU time of walking these nodes alone over the table of all series and nodes [s]."""
    rows, width = wide.shape
    code, input_start, inputs, spare = shared(plan, width + len(nodes))
    stride = stride_of(width + len(nodes) + spare)
    sizes = np.array([rows, width, len(nodes), 0, stride])
    starts = [part[nodes] for part in (code, input_start, plan.state_start, plan.param_start)]
    wiring = np.concatenate([*starts, inputs])
    state, table, flat = np.zeros(plan.state_size), np.zeros(BLOCK * stride), wide.reshape(-1)
    started = time.process_time()
    walk(sizes, wiring, plan.params, flat, state, table, np.empty(0))
    return time.process_time() - started
