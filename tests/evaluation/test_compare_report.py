"""The comparison's page and sentences: every run drawn where it is, names escaped, no more claimed than shown."""

import json
import re

import numpy as np
import pytest
from test_walk_forward import SETTINGS

from mia.domain.rng import generator
from mia.evaluation import compare_figures, compare_report, compare_verdict
from mia.evaluation.compare_report import CompareContent, Panel
from mia.evaluation.seeds import Score, standings
from mia.evaluation.settings import CompareSettings

COMPARE = CompareSettings(name="test", runs=(), by="algo", metric="auto", least_seeds=4, blocks=8, pbo_limit=0.2)
VALUES = {"<b>ppo</b>": [0.3, 0.35, 0.2, 0.4], "qr_dqn": [0.8, 0.75, 0.7, 0.9]}


def panel(values=VALUES, strata=("world",), unit="", main=True):
    scores = [
        Score(group=group, stratum=stratum, seed=seed, value=value)
        for stratum in strata
        for group, own in values.items()
        for seed, value in enumerate(own)
    ]
    ranked, duels = standings(scores, generator(1, "p"), 200, 0.95)
    return Panel(
        title=", ".join(strata),
        label="fraction of the optimum",
        tick_format=".0%",
        unit=unit,
        optimum=1.0,
        standings=ranked,
        duels=duels,
        main=main,
    )


def content(*panels):
    return CompareContent(
        title="qr_dqn, <b>ppo</b>",
        facts={"Runs": 8},
        verdict="v",
        tone="open",
        warnings=("few seeds",),
        panels=panels,
        luck=[{"market": "MNQ", "SPA p, flat": 0.2, "PBO": None}],
        luck_note="MNQ: of 8 trials counted, 8 entered the tests.",
        statistics={"Trials counted, MNQ": 8},
        runs=[{"group": "<b>ppo</b>", "seed": 0, "score": 0.3}],
        confidence=0.95,
    )


def traces(figure, name):
    return [trace for trace in figure.data if trace.name == name and trace.x[0] is not None]


def test_every_run_is_a_dot_at_its_score_and_the_ring_is_round_the_worst():
    shown = panel()
    figure = compare_figures.scores(shown.standings, shown.label, shown.tick_format, 0.95, 1.0)
    dots, rings, means = (traces(figure, name) for name in ("one run", "worst run", "interquartile mean"))
    # Rows go upwards, so the best is drawn last and highest.
    assert [sorted(trace.x) for trace in dots] == [sorted(VALUES["<b>ppo</b>"]), sorted(VALUES["qr_dqn"])]
    assert [trace.x[0] for trace in rings] == [0.2, 0.7]
    for ring, dot in zip(rings, dots, strict=True):
        assert (ring.x[0], ring.y[0]) in set(zip(dot.x, dot.y, strict=True))
    for trace, standing in zip(means, reversed(shown.standings), strict=True):
        assert trace.x[0] == standing.iqm
        ends = (trace.x[0] - trace.error_x.arrayminus[0], trace.x[0] + trace.error_x.array[0])
        assert ends == pytest.approx(standing.interval)
    rows = [np.round(np.asarray(trace.y)).astype(int) for trace in dots]
    assert [set(row) for row in rows] == [{0}, {1}]  # dots stay within their group's row
    assert list(figure.layout.yaxis.ticktext) == ["&lt;b&gt;ppo&lt;/b&gt;", "qr_dqn"]


def test_strata_get_symbols_and_a_line_in_the_legend():
    shown = panel(strata=("a", "b"))
    figure = compare_figures.scores(shown.standings, shown.label, shown.tick_format, 0.95)
    assert [trace.name for trace in figure.data if trace.showlegend is not False][:2] == ["a", "b"]
    assert set(traces(figure, "one run")[0].marker.symbol) == {"circle", "square"}


def test_pairs_lie_at_their_probability_within_their_interval():
    values = {"a": [1.0, 2.0, 3.0, 4.0], "b": [1.5, 2.5, 3.5, 2.0], "c": [11.0, 12.0, 13.0, 14.0]}
    shown = panel(values)
    figure = compare_figures.improvements(shown.duels)
    drawn = {}
    for trace in figure.data:
        for x, y, plus, minus in zip(trace.x, trace.y, trace.error_x.array, trace.error_x.arrayminus, strict=True):
            drawn[figure.layout.yaxis.ticktext[y]] = (trace.name, x, x - minus, x + plus)
    assert len(drawn) == 3
    for duel in shown.duels:
        word, x, low, high = drawn[f"{duel.ahead} over {duel.behind}"]
        assert (x, word) == (duel.probability, "told apart" if duel.decided else "not told apart")
        assert (low, high) == pytest.approx(duel.interval)


def test_the_page_is_self_contained_escaped_and_holds_its_figures():
    page = compare_report.render(content(panel(), panel(strata=("other",), main=False)))
    assert "<b>ppo</b>" not in page
    assert "&lt;b&gt;ppo" in page
    assert not re.findall(r'(?:src|href)="(?!#)', re.sub(r"<script.*?</script>", "", page, flags=re.S))
    held = re.findall(r'<script type="application/json" id="(figure-\w+)">(.*?)</script>', page, re.S)
    assert [name for name, _ in held] == ["figure-scores_0", "figure-improvements_0"]
    assert all(json.loads(text)["data"] for _, text in held)
    for words in ("few seeds", "MNQ: of 8 trials counted", "Trials counted, MNQ", "Each stratum on its own", "other"):
        assert words in page


def test_money_is_written_as_money():
    rows = compare_report.group_rows(panel(unit="_usd"))
    assert list(rows[0])[2:4] == ["interquartile mean_usd", "interval_usd"]
    page = compare_report.render(content(panel({"a": [1500.0, 2500.0, 2000.0, 1800.0]}, unit="_usd")))
    assert "Interquartile mean [USD]" in page
    assert re.search(r"<td>\$1,\d{3} to \$2,\d{3}</td>", page)


def verdict(*panels, lucks=None):
    return compare_verdict.verdict(panels, {"MNQ": 12}, lucks or {}, SETTINGS, COMPARE)


def test_a_clear_lead_over_enough_seeds_is_good():
    sentence, tone = verdict(panel())
    assert sentence.startswith("qr_dqn is ahead of <b>ppo</b>, interquartile mean of the fraction of the optimum 0.78")
    assert "over 4 runs" in sentence
    assert "its worst seed, 2, reached 0.70" in sentence
    assert tone == "good"


def test_a_lead_on_too_few_seeds_is_open():
    assert verdict(panel({"a": [1.0, 1.1, 1.2], "b": [5.0, 5.1, 5.2]}))[1] == "open"


def test_groups_that_overlap_are_said_not_to_be_told_apart():
    sentence, tone = verdict(panel({"a": [1, 2, 3, 4], "b": [1.1, 2.1, 3.1, 4.1], "c": [0.9, 2.2, 3.2, 3.9]}))
    assert "cannot be told from" in sentence
    assert " nor from " in sentence
    assert tone == "open"


def test_luck_has_the_last_word():
    class Lucky:
        def is_skill(self, judge, settings):
            return False

    class Skilled:
        def is_skill(self, judge, settings):
            return True

    sentence, tone = verdict(panel(), lucks={"MNQ": [Lucky()]})
    assert sentence.endswith("The best of all trials is not distinguishable from luck (MNQ, 12 trials).")
    assert tone == "open"
    assert verdict(panel(), lucks={"MNQ": [Skilled()]})[1] == "good"
    sentence, tone = verdict(panel(), lucks={"MNQ": [Skilled(), Lucky()]})
    assert "1 of 2 sets of days" in sentence
    assert tone == "open"


def test_where_every_run_reached_the_same_nobody_stands_first():
    """As on a market with nothing to earn, where all stay flat."""
    sentence, clear = compare_verdict.lead(panel({"ppo": [0.0] * 4, "sac": [0.0] * 4}), COMPARE.least_seeds)
    assert sentence == "Nobody is ahead: every run of ppo, sac reached the same fraction of the optimum, 0.00."
    assert not clear
    sentence, _ = compare_verdict.lead(panel({"ppo": [0.0] * 4, "sac": [0.0, 0.0, 0.1, 0.1]}), COMPARE.least_seeds)
    assert "sac stands first" in sentence
