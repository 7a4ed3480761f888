"""The task from a world to a page; how rows are parted; what is said of the result."""

import json
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from mia.domain.errors import ConfigurationError
from mia.domain.rng import generator
from mia.evaluation import calibration, reliability_page
from mia.router.trade_probability import TradeProbability
from mia.task import trade_probability
from mia.task.command_line import compose
from mia.task.trade_probability import beyond, parts, sentence

SMALL = (
    "source.train_rows=30000",
    "source.judge_rows=2000",
    "router.purge_rows=100",
    "router.cvar_rows=200",
    "router.sources.lagrangian.frames=8192",
    "router.sources.lagrangian.constraint.alpha=0.8",
    "router.sources.lagrangian.network=[16]",
    "router.sources.quantile.updates=150",
    "router.sources.quantile.network=[16]",
    "router.sources.vote.members.sac.updates=100",
    "router.sources.vote.members.sac.network=[16]",
    "router.sources.vote.members.ddpg.updates=100",
    "router.sources.vote.members.ddpg.network=[16]",
    "router.sources.vote.members.ppo.frames=8192",
    "router.sources.vote.members.ppo.network=[16]",
)


@pytest.fixture(scope="module")
def ran(tmp_path_factory, root):
    outputs = tmp_path_factory.mktemp("trade_probability")
    words = ["experiment=trade_probability", "seed=100", "tracking=off", "quiet=true", f"outputs={outputs}", *SMALL]
    done = subprocess.run([sys.executable, "-m", "mia", *words], capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
    (summary,) = outputs.glob("runs/*/*/summary.json")
    return summary.parent


def test_a_world_becomes_a_judged_probability_and_a_page(ran):
    summary = json.loads((ran / "summary.json").read_text())
    assert summary["algo"] == "trade_probability"
    assert set(summary["sources"]) == {"lagrangian", "quantile", "vote"}
    assert abs(sum(summary["sources"]["vote"]["weights"].values()) - 1) < 1e-9 or summary["sources"]["vote"]["abstains"]
    scores = summary["trade_probability"]
    assert scores["n"] == summary["trades"]["judged"]["trades"] > 20
    assert sum(row["n"] for row in scores["reliability"]) == scores["n"]
    kept = summary["threshold"]
    assert kept["at_or_above"]["trades"] + kept["below"]["trades"] == scores["n"]
    assert kept["at_or_above"]["net_cents"] + kept["below"]["net_cents"] == summary["trades"]["judged"]["net_cents"]
    page = (ran / "report.html").read_text()
    assert summary["verdict"].split(" (")[0] in page
    assert "figure-reliability" in page


def test_the_probability_it_leaves_can_be_asked(ran):
    model = TradeProbability.from_json((ran / "trade_probability.json").read_text())
    assert model.trades == json.loads((ran / "summary.json").read_text())["trades"]["fitted"]["trades"]
    told = model.of(np.full((1, len(model.names)), np.nan))
    assert 0 < told[0] < 1


def test_task_without_sources_or_market_is_refused(tmp_path):
    settings = compose(["task=trade_probability", "source=yardstick", "tracking=off"])
    with pytest.raises(ConfigurationError, match="router=three_sources"):
        trade_probability.main(settings, {}, tmp_path, None)


def test_parts_leave_gaps_and_never_overlap():
    spans = parts(0, 600, 800, 1000, 50)
    assert spans == {"learn": slice(0, 550), "fit": slice(600, 750), "judge": slice(800, 1000)}
    assert parts(0, 10, 20, 30, 50)["learn"] == slice(0, 0)


def test_a_veto_would_keep_the_trades_at_or_above_the_threshold():
    told = np.array([0.2, 0.65, 0.9, 0.649])
    trades = SimpleNamespace(success=np.array([False, True, True, True]), net=np.array([-5, 7, 11, 13]))
    router = SimpleNamespace(trade_threshold=0.65, veto=False)
    found = beyond(told, trades, router)
    assert found["at_or_above"] == {"trades": 2, "success": 1.0, "net_cents": 18}
    assert found["below"] == {"trades": 2, "success": 0.5, "net_cents": 8}
    assert beyond(told * 0, trades, router)["at_or_above"] == {"trades": 0, "success": None, "net_cents": 0}


def scores(**changes):
    found = {"n": 2000, "brier_skill": 0.1, "brier_skill_ci": [0.05, 0.15], "ece": 0.02, "ece_of_perfect_p95": 0.04}
    return found | changes


@pytest.mark.parametrize(
    ("changes", "tone", "word"),
    [
        ({}, "good", "beat the base rate"),
        ({"ece": 0.09}, "open", "worse calibrated"),
        ({"brier_skill_ci": [-0.01, 0.2]}, "open", "no better"),
        ({"brier_skill_ci": [-0.2, -0.1]}, "bad", "worse than the base rate"),
        ({"brier_skill": None, "brier_skill_ci": None}, "open", "same outcome"),
        ({"n": 200}, "good", "200 trades are few"),
    ],
)
def test_sentence_says_what_the_scores_do(changes, tone, word):
    said, its_tone = sentence(scores(**changes), 50, 1000)
    assert its_tone == tone
    assert word in said


def test_too_few_fitted_trades_are_said_so():
    said, tone = sentence(scores(), 50, 30)
    assert tone == "open"
    assert "30 trades were too few" in said


def test_figure_shows_bins_their_intervals_and_a_perfect_models_band():
    rng = generator(1, "figure")
    told = rng.uniform(0.1, 0.9, 3000)
    rows = calibration.reliability(told, rng.random(3000) < told)
    figure = reliability_page.reliability(rows)
    band, diagonal, happened = figure.data
    assert list(happened.x) == [row["told"] for row in rows]
    assert list(happened.y) == [row["happened"] for row in rows]
    assert list(diagonal.x) == list(diagonal.y) == [0, 1]
    assert len(band.x) == 2 * len(rows)
    above = np.array(happened.error_y.array) + np.array(happened.y)
    np.testing.assert_allclose(above, [row["high"] for row in rows])


def test_page_escapes_what_it_is_given():
    text = reliability_page.render("<script>x", {"a": "<b>"}, "<i>", "open", ["<u>"], {}, {"t": [{"a": "<s>"}]}, [])
    for harm in ("<script>x", "<b>", "<i>", "<u>", "<s>"):
        assert harm not in text.split("<header>")[1].split("</footer>")[0]
