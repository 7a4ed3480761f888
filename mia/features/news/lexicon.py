"""Sentiment of a headline from word lists: directions of measures, telling words, negation, and figures compared.

"Profit rose" is good and "costs rose" is bad; "loss narrowed" is good; "profit of 2.1 mn compared to 3.4 mn" is bad
though no word says so. Nothing is fitted, so it cannot know what came after.
"""

import re
from dataclasses import dataclass

from mia.features.news import words

_SPLIT_NUMBER = re.compile(r"(?<=\d) (?=\.\d)")
_GLUED = re.compile(r"(?<=[a-z])(?=\d)|(?<=\d)(?=[a-z])")
_TOKEN = re.compile(r"\d[\d.,]*\d|\d|[a-z&]+(?:[-'][a-z]+)*|%")
_SCALE = {
    **dict.fromkeys(("thousand", "k"), 1e3),
    **dict.fromkeys(("m", "mn", "mln", "million", "millions"), 1e6),
    **dict.fromkeys(("bn", "bln", "billion", "billions"), 1e9),
}
_LONGEST = 4  # words of a phrase
_LEFT, _RIGHT, _LINKED = 10, 3, 5  # words from a direction to its measure: before it, after it, after "in" or "of"
_LINKS = frozenset({"in", "of", "the", "its", "their", "our"})
_ENDS = frozenset({"to", "by", "from", "while", "and", "but"})
_LOSSES = frozenset({"loss", "losses", "net loss", "operating loss", "pretax loss", "loss per share"})
_GAINS = frozenset({"profit", "profits", "income", "eps", "earnings per share"})
_FIRST_YEAR, _LAST_YEAR = 1950, 2050

_MEASURE = {"good": 1.0, "bad": -1.0, "neutral": 0.0}
_DIRECTION = {"up": 1.0, "down": -1.0}
_TELLING = {"positive": 1.0, "negative": -1.0}
_MOVE_ALONE, _BOTTOM_LINE, _LOSS, _TURN = 0.3, 1.5, 0.8, 1.5  # weights of what is found; a plain move has 1
_NEGATED, _NEGATION_REACH = -0.6, 3

_KINDS: dict[str, str] = {
    entry: kind
    for kind, entries in (
        ("good", words.GOOD_MEASURES),
        ("bad", words.BAD_MEASURES),
        ("neutral", words.NEUTRAL_MEASURES),
        ("up", words.UP),
        ("down", words.DOWN),
        ("positive", words.POSITIVE),
        ("negative", words.NEGATIVE),
        ("not", words.NEGATIONS),
        ("against", words.COMPARISONS),
        ("aside", words.ASIDE),
    )
    for entry in entries
}


@dataclass(frozen=True, slots=True)
class _Unit:
    """A word, phrase or figure: its kind ("" for any other word) and, of a figure, its value."""

    text: str
    kind: str
    value: float = 0.0


def score(headline: str) -> float:
    """Sentiment in [-1, 1]: the sum of what speaks for and against, over its amount and one; 0 if nothing speaks."""
    units = _parse(headline)
    moves, alone = _moves(units)
    turned, compared = _compared(units, {place for place, _ in moves})
    parts = [part for (place, _), part in moves.items() if place not in turned]
    parts += [*alone, *compared, *_telling(units)]
    return sum(parts) / (1.0 + sum(abs(part) for part in parts))


def _parse(headline: str) -> list[_Unit]:
    """Words to units, the longest known phrase first; figures take the unit that follows them."""
    text = _GLUED.sub(" ", _SPLIT_NUMBER.sub("", headline.lower().replace(" & ", "&")))
    tokens = _TOKEN.findall(text)
    units, at = [], 0
    while at < len(tokens):
        for length in range(min(_LONGEST, len(tokens) - at), 0, -1):
            phrase = " ".join(tokens[at : at + length])
            if phrase in _KINDS:
                units.append(_Unit(phrase, _KINDS[phrase]))
                break
        else:
            length = 1
            units.append(_figure(tokens, at) if tokens[at][0].isdigit() else _Unit(tokens[at], ""))
        at += length
    return units


def _figure(tokens: list[str], at: int) -> _Unit:
    digits = tokens[at].replace(",", "")
    following = tokens[at + 1] if at + 1 < len(tokens) else ""
    try:
        value = float(digits) * _SCALE.get(following, 1.0)
    except ValueError:
        return _Unit(tokens[at], "")
    if following in ("%", "percent", "pct"):
        return _Unit(tokens[at], "percent", value)
    if following not in _SCALE and digits.isdigit() and _FIRST_YEAR <= value <= _LAST_YEAR:
        return _Unit(tokens[at], "")
    return _Unit(tokens[at], "scaled" if following in _SCALE else "figure", value)


def _negated(units: list[_Unit], at: int) -> bool:
    return any(unit.kind == "not" for unit in units[max(at - _NEGATION_REACH, 0) : at])


def _measure_of(units: list[_Unit], at: int) -> int | None:
    """Place of the measure a direction speaks of: right after it, linked to it, before it, else soon after it."""
    linked = at + 1 < len(units) and units[at + 1].text in _LINKS
    for place in range(at + 1, min(at + (_LINKED if linked else 1) + 1, len(units))):
        if units[place].kind in _MEASURE:
            return place
        if units[place].kind or units[place].text in _ENDS:
            break
    for place in range(at - 1, max(at - _LEFT, 0) - 1, -1):
        if units[place].kind in _MEASURE:
            return place
    for place in range(at + 1, min(at + 1 + _RIGHT, len(units))):
        if units[place].kind in _MEASURE:
            return place
    return None


def _moves(units: list[_Unit]) -> tuple[dict[tuple[int, str], float], list[float]]:
    """What the moves say by measure and direction, a measure moves once in each; and of moves without a measure."""
    seen: dict[tuple[int, str], float] = {}
    alone = []
    for at, unit in enumerate(units):
        if unit.kind not in _DIRECTION:
            continue
        sign = _DIRECTION[unit.kind] * (_NEGATED if _negated(units, at) else 1.0)
        place = _measure_of(units, at)
        if place is None:
            alone.append(sign * _MOVE_ALONE)
        else:
            seen.setdefault((place, unit.kind), sign * _weight(units[place]))
    return seen, alone


def _weight(measure: _Unit) -> float:
    """How good more of a measure is; what is earned in the end counts most."""
    return _MEASURE[measure.kind] * (_BOTTOM_LINE if measure.text in _GAINS or measure.text in _LOSSES else 1.0)


def _telling(units: list[_Unit]) -> list[float]:
    return [
        _TELLING[unit.kind] * (_NEGATED if _negated(units, at) else 1.0)
        for at, unit in enumerate(units)
        if unit.kind in _TELLING
    ]


def _compared(units: list[_Unit], moving: set[int]) -> tuple[set[int], list[float]]:
    """Measures that turned from profit to loss or back; what turns, figures and losses without a direction say."""
    turned: set[int] = set()
    told, parts = set(moving), []
    for at, unit in enumerate(units):
        if unit.kind != "against":
            continue
        left = next((k for k in range(at - 1, -1, -1) if units[k].kind in _MEASURE), None)
        right = next((k for k in range(at + 1, min(at + 5, len(units))) if units[k].kind in _MEASURE), None)
        if left is None:
            continue
        turn = _turn(units[left].text, units[right].text) if right is not None else 0.0
        if right is not None and turn:
            turned |= {left, right}
            parts.append(turn)
        elif left not in moving:
            parts.append(_weight(units[left]) * _difference(units, left, at))
        told |= {left} | ({right} if right is not None else set())
    lost = any(unit.text in _LOSSES and k not in told for k, unit in enumerate(units))
    return turned, [*(part for part in parts if part), *([-_LOSS] if lost else [])]


def _turn(now: str, before: str) -> float:
    """Profit after loss, loss after profit; 0 for anything else."""
    if now in _LOSSES and before in _GAINS:
        return -_TURN
    return _TURN if now in _GAINS and before in _LOSSES else 0.0


def _difference(units: list[_Unit], measure: int, against: int) -> float:
    """Sign of the figure after a measure less the one after the comparison, of the same sort; 0 if there is none."""
    for kind in ("scaled", "figure", "percent"):
        now = [unit.value for unit in units[measure:against] if unit.kind == kind]
        then = [unit.value for unit in units[against + 1 : against + 8] if unit.kind == kind]
        if now and then:
            return float(now[0] > then[0]) - float(now[0] < then[0])
    return 0.0
