"""From evidence to the list: rank, bonus of the mandatory columns, inertia of members, fill to the asked length."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

Array = np.ndarray


def ranks(pi: Array, score: Array, names: Sequence[str]) -> dict[str, float]:
    """Place of each candidate from 1: by stability, then by mean score, then in catalogue order."""
    order = np.lexsort((np.arange(len(names)), -score, -np.round(pi, 9)))
    return {names[j]: float(place + 1) for place, j in enumerate(order)}


def ordered(rank: Mapping[str, float], names: Sequence[str], mandatory: Collection[str], bonus: float) -> list[str]:
    """All ranked columns, best first; the rank of mandatory ones is divided by the bonus."""
    place = {name: i for i, name in enumerate(names)}
    lifted = {name: value / (bonus if name in mandatory else 1.0) for name, value in rank.items()}
    return sorted(lifted, key=lambda name: (lifted[name], place[name]))


def fill(
    order: Sequence[str],
    mandatory: Collection[str],
    top_k: int,
    *,
    previous: Collection[str] = (),
    pi: Mapping[str, float] | None = None,
    margin: float = 0.0,
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Mandatory columns and the best others, up to `top_k`; also who is in by inertia only -> whom it keeps out.

    A member of `previous` gives way only to a newcomer that was among the best clearly more often: the best
    newcomer meets the weakest member, and so on. Places that nobody holds are free to the best.

    Parameters
    ----------
    order : all ranked columns, best first
    pi : stability of each; unknown ones count as 0
    margin : a newcomer's pi must exceed the member's by more than this
    """
    pi = pi or {}
    others = [name for name in order if name not in mandatory]
    free = max(top_k - (len(order) - len(others)), 0)
    best = others[:free]
    members = [name for name in others if name in previous][:free]
    newcomers = [name for name in best if name not in members]
    vacant = len(best) - len(members)
    inside, challengers = set(members) | set(newcomers[:vacant]), newcomers[vacant:]
    weakest = [name for name in reversed(members) if name not in best]
    held = {}
    for challenger, member in zip(challengers, weakest, strict=True):
        if pi.get(challenger, 0.0) > pi.get(member, 0.0) + margin + 1e-12:
            inside = (inside - {member}) | {challenger}
        else:
            held[member] = challenger
    return tuple(name for name in order if name in mandatory or name in inside), held


def bonus_effect(
    rank: Mapping[str, float], names: Sequence[str], mandatory: Sequence[str], kept: Sequence[str], bonus: float
) -> dict[str, tuple[int, int]]:
    """Place of each mandatory column in the list, from 1, without and with the bonus."""
    inside = set(kept)
    plain = [name for name in ordered(rank, names, (), bonus) if name in inside]
    without = {name: i + 1 for i, name in enumerate(plain)}
    lifted = {name: i + 1 for i, name in enumerate(kept)}
    return {name: (without[name], lifted[name]) for name in mandatory}
