"""Feature specs compiled into flat arrays: what the kernel walks, in batch and live alike."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mia.domain import digest
from mia.domain.errors import ConfigurationError
from mia.domain.market import Market
from mia.domain.series import MARKET_SERIES, SERIES_SETS, SeriesSet
from mia.features.catalogue import FeatureSpec
from mia.features.operators.registry import Operator
from mia.features.operators.table import operators

Array = np.ndarray

SERVICE = ("close", "prior_settlement", "atr_dynamic", "atr_14", "_atr_daily")
"""Nodes the scaler divides by or subtracts; those not published ride behind the published columns."""

LEVELS = {
    "bars": {"bars", "calendar"},
    "trades": {"bars", "calendar", "trades"},
    "depth": {"bars", "calendar", "trades", "depth"},
    "cross": {"bars", "calendar", "trades", "depth", "cross"},
    "options": {"bars", "calendar", "trades", "depth", "cross", "options"},
}
"""Sources a member of `family:.../level` may need at most."""

_SET_OF = {name: series.name for series in SERIES_SETS for name in series.names}
_SOURCE_OF = {name: group for series in SERIES_SETS for group, names in series.groups.items() for name in names}


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One operator at work.

    Parameters
    ----------
    name : feature or internal name
    op : operator name
    inputs : names of base series and nodes, in order
    params : scalar parameters as the kernel sees them
    sources : source groups its whole ancestry needs, in the order of the series' groups
    fitted : (first, last + 1) of its fitted block in Plan.params, or None
    """

    name: str
    op: str
    inputs: tuple[str, ...]
    params: Mapping[str, float]
    sources: tuple[str, ...]
    fitted: tuple[int, int] | None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Plan:
    """N nodes in an order in which every node follows its inputs; F published columns, C >= F columns in all.

    Parameters
    ----------
    series : the base series of a row, W in all
    specs : the F published specs, in the order of the columns
    nodes : the N nodes
    names : the F published names
    service : hidden columns that follow them (see `SERVICE`)
    n_slots : bar slots of an ordinary full session
    code, input_start, state_start, param_start : (N,) int64
    inputs : flat int64, indices into [W base series | N nodes]
    params : flat float64
    state_size : length of the flat state
    out_node : (C,) int64, node behind each column
    out_scale : (C,) float64, factor from inside units to published units
    """

    series: SeriesSet
    specs: tuple[FeatureSpec, ...]
    nodes: tuple[Node, ...]
    names: tuple[str, ...]
    service: tuple[str, ...]
    n_slots: int
    code: Array
    input_start: Array
    state_start: Array
    param_start: Array
    inputs: Array
    params: Array
    state_size: int
    out_node: Array
    out_scale: Array

    @property
    def width(self) -> int:
        """Number W of base series in a row."""
        return len(self.series.names)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the C columns: published first, then service."""
        return self.names + self.service

    @property
    def node_names(self) -> tuple[str, ...]:
        return tuple(node.name for node in self.nodes)

    def node(self, name: str) -> Node:
        """The node of that name."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise ConfigurationError(f"feature {name!r} is not in the plan; it has {len(self.nodes)} nodes")

    def sources(self, name: str) -> tuple[str, ...]:
        """Source groups the named node needs, over its whole ancestry."""
        return self.node(name).sources

    @property
    def fitted_nodes(self) -> tuple[str, ...]:
        """Nodes whose parameters are fitted on the train fold."""
        return tuple(node.name for node in self.nodes if node.fitted is not None)

    @property
    def learned_nodes(self) -> frozenset[str]:
        """Nodes that are fitted or follow from one that is: empty until the first fit, other after each."""
        learned: set[str] = set()
        for node in self.nodes:  # inputs come first
            if node.fitted is not None or learned.intersection(node.inputs):
                learned.add(node.name)
        return frozenset(learned)

    @property
    def fitted(self) -> dict[str, Array]:
        """Fitted blocks that have been set, by node name."""
        blocks = {}
        for node in self.nodes:
            if node.fitted is not None:
                block = self.params[slice(*node.fitted)]
                if not np.all(np.isnan(block)):
                    blocks[node.name] = block.copy()
        return blocks

    def with_parameters(self, fitted: Mapping[str, Array]) -> "Plan":
        """Return a new plan with the fitted blocks of the named nodes set.

        Parameters
        ----------
        fitted : node name -> 1-d float array of the block's length
        """
        params = self.params.copy()
        for name, values in fitted.items():
            span = self.node(name).fitted
            values = np.asarray(values, dtype=np.float64)
            if span is None:
                raise ConfigurationError(f"feature {name}: has nothing to fit; fitted are {list(self.fitted_nodes)}")
            if values.shape != (span[1] - span[0],):
                raise ConfigurationError(
                    f"feature {name}: {span[1] - span[0]} fitted numbers expected, got shape {values.shape}; refit"
                )
            params[slice(*span)] = values
        return replace(self, params=params)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what the plan computes, fitted blocks included."""
        wiring = [[node.name, node.op, node.inputs, dict(node.params)] for node in self.nodes]
        arrays = digest.of_arrays(self.code, self.inputs, self.params, self.out_node, self.out_scale)
        return digest.of_json([wiring, list(self.columns), arrays])


def split(specs: Sequence[FeatureSpec]) -> dict[str, tuple[FeatureSpec, ...]]:
    """Sort specs by the set of base series they read: what the market tells, what models made of it, and what the
    policy said before. Each becomes a plan of its own, walked one after the other.

    Raises
    ------
    ConfigurationError : if a feature reads two sets; what joins them belongs into the room that makes the later one.
    """
    by_name = {spec.name: spec for spec in specs}
    sets: dict[str, str] = {}

    def visit(name: str, path: tuple[str, ...]) -> str:
        if name in sets:
            return sets[name]
        if name in path or name not in by_name:
            return ""  # cycles and unknown names are refused by compile_plan, which shows them
        found = set()
        for item in by_name[name].inputs:
            if item.startswith("family:"):
                found.add(MARKET_SERIES.name)
            elif item.startswith("@"):
                found.add(visit(item[1:], (*path, name)))
            else:
                found.add(_SET_OF[item])
        found.discard("")
        if len(found) > 1:
            raise ConfigurationError(
                f"feature {name}: reads {' and '.join(sorted(found))} series together; derive it from one of them"
            )
        sets[name] = found.pop() if found else MARKET_SERIES.name
        return sets[name]

    for name in by_name:
        visit(name, ())
    return {series.name: tuple(spec for spec in specs if sets[spec.name] == series.name) for series in SERIES_SETS}


def compile_plan(
    specs: Sequence[FeatureSpec],
    market: Market,
    *,
    bar_minutes: float,
    session_minutes: float,
    series: SeriesSet = MARKET_SERIES,
) -> Plan:
    """Order, check and flatten the specs.

    Parameters
    ----------
    specs : from `catalogue.expand`
    market : contract terms (tick size, multiplier, round step)
    bar_minutes : length of a bar [minutes]
    session_minutes : length of an ordinary full session [minutes]
    series : the base series the specs read, all of one set (see `split`)

    Raises
    ------
    ConfigurationError : naming the feature, for unknown operators, inputs or parameters, and for cycles.
    """
    if not (0 < bar_minutes <= session_minutes):
        raise ConfigurationError(
            f"features: bar_minutes {bar_minutes:g} must be positive and at most session_minutes {session_minutes:g}"
        )
    n_slots = int(np.ceil(session_minutes / bar_minutes))
    environment = {
        "tick_size": market.tick_size,
        "multiplier": market.multiplier,
        "round_step": market.round_step,
        "bar_minutes": float(bar_minutes),
        "session_minutes": float(session_minutes),
        "n_slots": float(n_slots),
    }
    by_name = {spec.name: spec for spec in specs}
    if len(by_name) != len(specs):
        raise ConfigurationError("features: a name is declared twice; names are global over all groups")
    wired = _wire(by_name)
    order = _order(by_name, wired)
    needed = _needs(order, wired)
    return _flatten(by_name, wired, order, needed, environment, market, series)


def _references(inputs: Sequence[str]) -> list[str]:
    return [item[1:] for item in inputs if item.startswith("@")]


def _wire(by_name: Mapping[str, FeatureSpec]) -> dict[str, tuple[str, ...]]:
    """Inputs of every spec with family groups replaced by their members."""
    for spec in by_name.values():
        for name in _references(spec.inputs):
            if name not in by_name:
                raise ConfigurationError(
                    f"feature {spec.name}: input @{name} is not declared; add the group that holds it"
                )
    plain = {
        name: spec.inputs
        for name, spec in by_name.items()
        if not any(item.startswith("family:") for item in spec.inputs)
    }
    reachable = {name: inputs for name, inputs in plain.items() if _closed(name, plain)}
    needs = _needs(_order(by_name, reachable), reachable)
    wired = {}
    for name, spec in by_name.items():
        full: list[str] = []
        for item in spec.inputs:
            full.extend(_members(spec, item, by_name, needs) if item.startswith("family:") else [item])
        wired[name] = tuple(full)
    return wired


def _closed(name: str, plain: Mapping[str, tuple[str, ...]]) -> bool:
    """Whether nothing in the ancestry of `name` is a family group."""
    seen, stack = set(), [name]
    while stack:
        at = stack.pop()
        if at not in plain:
            return False
        if at not in seen:
            seen.add(at)
            stack.extend(_references(plain[at]))
    return True


def _members(
    spec: FeatureSpec, item: str, by_name: Mapping[str, FeatureSpec], needs: Mapping[str, frozenset[str]]
) -> list[str]:
    """Published features of the named families that need at most the sources of the level."""
    families, _, level = item.removeprefix("family:").partition("/")
    if level not in LEVELS:
        raise ConfigurationError(f"feature {spec.name}: input {item!r} must end in /{'|'.join(LEVELS)}")
    wanted = families.split("+")
    found = [
        f"@{name}"
        for name, need in needs.items()
        if by_name[name].published and by_name[name].family in wanted and need <= LEVELS[level]
    ]
    if not found:
        raise ConfigurationError(f"feature {spec.name}: no feature matches {item!r}; add the families' groups")
    rank = {name: at for at, name in enumerate(by_name)}
    return sorted(found, key=lambda ref: rank[ref[1:]])


def _order(by_name: Mapping[str, FeatureSpec], wired: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Names in an order in which inputs come first; a cycle is an error that shows it."""
    done: dict[str, None] = {}
    path: list[str] = []

    def visit(name: str) -> None:
        if name in done:
            return
        if name in path:
            circle = " <- ".join([*path[path.index(name) :], name])
            raise ConfigurationError(f"feature {name}: depends on itself ({circle}); break the cycle")
        path.append(name)
        for parent in _references(wired[name]):
            visit(parent)
        path.pop()
        done[name] = None

    for name in by_name:
        if name in wired:
            visit(name)
    return list(done)


def _needs(order: Sequence[str], wired: Mapping[str, tuple[str, ...]]) -> dict[str, frozenset[str]]:
    """Source groups per node, over its whole ancestry."""
    needs: dict[str, frozenset[str]] = {}
    for name in order:
        groups: set[str] = set()
        for item in wired[name]:
            groups |= needs[item[1:]] if item.startswith("@") else {_SOURCE_OF[item]}
        needs[name] = frozenset(groups)
    return needs


def _flatten(
    by_name: Mapping[str, FeatureSpec],
    wired: Mapping[str, tuple[str, ...]],
    order: Sequence[str],
    needs: Mapping[str, frozenset[str]],
    environment: Mapping[str, float],
    market: Market,
    series: SeriesSet,
) -> Plan:
    width, index = len(series.names), {name: at for at, name in enumerate(series.names)}
    position = {name: width + at for at, name in enumerate(order)}
    nodes: list[Node] = []
    code, input_start, state_start, param_start = [], [], [], []
    inputs: list[int] = []
    params: list[float] = []
    state_size = 0
    for name in order:
        spec = by_name[name]
        names = tuple(item.removeprefix("@") for item in wired[name])
        operator = _operator(spec, len(names))
        scalars = operator.resolve(dict(spec.params), {**environment, "n_inputs": float(len(names))}, f"feature {name}")
        code.append(operator.opcode)
        input_start.append(len(inputs))
        state_start.append(state_size)
        param_start.append(len(params))
        for item in wired[name]:
            if not item.startswith("@") and item not in index:
                raise ConfigurationError(f"feature {name}: input {item} is not a {series.name} series; see plan.split")
            inputs.append(position[item[1:]] if item.startswith("@") else index[item])
        params.extend(scalars.values())
        block = operator.fitted(scalars, len(names)) if operator.fitted else 0
        span = (len(params), len(params) + block) if block else None
        params.extend([np.nan] * block)
        state_size += operator.state(scalars, len(names)) if operator.state else 0
        sources = tuple(group for group in series.groups if group in needs[name])
        nodes.append(Node(name=name, op=spec.op, inputs=names, params=scalars, sources=sources, fitted=span))
    published = tuple(spec for spec in by_name.values() if spec.published)
    if not published:
        raise ConfigurationError("features: every line is internal (leading underscore); publish at least one")
    names = tuple(spec.name for spec in published)
    service = tuple(name for name in SERVICE if name in by_name and name not in names)
    factor = {"tick": market.tick_size, "usd": market.tick_size * market.multiplier}
    scale = [
        factor[by_name[name].scale] if isinstance(by_name[name].scale, str) else by_name[name].scale
        for name in names + service
    ]
    return Plan(
        series=series,
        specs=published,
        nodes=tuple(nodes),
        names=names,
        service=service,
        n_slots=int(environment["n_slots"]),
        code=np.array(code, dtype=np.int64),
        input_start=np.array(input_start, dtype=np.int64),
        state_start=np.array(state_start, dtype=np.int64),
        param_start=np.array(param_start, dtype=np.int64),
        inputs=np.array(inputs, dtype=np.int64),
        params=np.array(params, dtype=np.float64),
        state_size=state_size,
        out_node=np.array([position[name] - width for name in names + service], dtype=np.int64),
        out_scale=np.array(scale, dtype=np.float64),
    )


def _operator(spec: FeatureSpec, count: int) -> Operator:
    table = operators()
    if spec.op not in table:
        raise ConfigurationError(f"feature {spec.name}: unknown operator {spec.op!r}; known are {sorted(table)}")
    operator = table[spec.op]
    if operator.inputs and operator.inputs != count:
        raise ConfigurationError(
            f"feature {spec.name}: operator {spec.op} takes {operator.inputs} inputs, got {count}; correct `in`"
        )
    return operator
