"""The performance page: only charts that have figures, each showing exactly what the file says."""

import json
import re

import numpy as np
import pytest

from mia.tracking import performance_figures as page
from mia.tracking.performance_log import COLUMNS, append, read

BLANK = dict.fromkeys(COLUMNS)


def row(step, seed=100, fold=0, trial=1, **told):
    return BLANK | {
        "when": "2026-01-02T03:04:05+00:00",
        "run": f"2026-01-02/{trial}",
        "trial": trial,
        "seed": seed,
        "fold": fold,
        "algo": "ensemble",
        "market": "ES",
        "step": step,
        "reward": step / 1000,
        "cpu_s": 1.0,
        **told,
    }


def full(step, **told):
    return row(
        step,
        **{
            "latency_us": 9.0 + step,
            "memory_mb": 500.0,
            "finetune_loss": 0.5,
            "cvar_loss": 0.4 * step,
            "cvar_low": 0.3 * step,
            "cvar_high": 0.6 * step,
            "cvar_limit": 0.75,
            "multiplier": 2.0 * step,
            "violation_rate": 0.25,
            "qr_dqn_quantiles": (-2.0 * step, -1.0, 0.5, 1.0, 2.0 * step),
            "ensemble_weights": {"sac": 0.5, "ppo": 0.25, "ddpg": 0.25},
            "online_learning_steps": 3 * step,
            "maml_steps": 5,
            "trades_per_1000_bars": 80.0,
            **told,
        },
    )


def trace(figure, name):
    return next(t for t in figure.data if t.name == name)


def test_only_charts_with_figures_are_drawn():
    assert list(page.figures([row(1), row(2)])) == ["reward"]
    assert list(page.figures([row(1, latency_us=9.0), row(2, maml_steps=4)])) == ["reward", "counters", "latency"]
    assert list(page.figures([full(1), full(2)])) == list(page.CAPTIONS)


def test_each_training_is_one_line_and_the_newest_is_thick_and_on_top():
    rows = [row(step, seed=seed, trial=seed) for seed in (100, 101, 102) for step in (1, 2)]
    figure = page.figures(rows)["reward"]
    assert [line.name for line in figure.data] == ["seed 100", "seed 101", "seed 102"]
    assert list(figure.data[1].x) == [1, 2]
    assert list(figure.data[1].y) == [0.001, 0.002]
    widths = [line.line.width for line in figure.data]
    assert widths[2] > widths[0] == widths[1]
    assert len({line.line.color for line in figure.data}) == 3


def test_trainings_are_told_apart_by_what_differs():
    by_fold = page.figures([row(1, fold=0), row(1, fold=1)])["reward"]
    assert [line.name for line in by_fold.data] == ["fold 1", "fold 2"]
    both = page.figures([row(1, seed=s, fold=f, trial=s) for s in (1, 2) for f in (0, 1)])["reward"]
    assert [line.name for line in both.data] == ["seed 1, fold 1", "seed 1, fold 2", "seed 2, fold 1", "seed 2, fold 2"]
    again = page.figures([row(1, trial=7), row(1, trial=8)])["reward"]
    assert [line.name for line in again.data] == ["trial 7, seed 100", "trial 8, seed 100"]


def test_interleaved_lines_of_two_processes_are_sorted_into_their_trainings():
    rows = [row(1, seed=1, trial=1), row(1, seed=2, trial=2), row(2, seed=2, trial=2), row(2, seed=1, trial=1)]
    figure = page.figures(rows)["reward"]
    assert [(line.name, list(line.x)) for line in figure.data] == [("seed 2", [1, 2]), ("seed 1", [1, 2])]


def test_a_training_that_went_on_after_an_interruption_is_one_line():
    rows = [row(1), row(2), row(3), row(2, run="2026-01-03/again"), row(3, run="2026-01-03/again", reward=9.0)]
    rows.append(row(4, run="2026-01-03/again"))
    (line,) = page.figures(rows)["reward"].data
    assert list(line.x) == [1, 2, 3, 4]
    assert list(line.y) == [0.001, 0.002, 9.0, 0.004]


def test_of_many_trainings_the_newest_ten_are_drawn_and_the_page_says_so():
    rows = [row(step, seed=seed, trial=seed) for seed in range(14) for step in (1, 2)]
    assert [line.name for line in page.figures(rows)["reward"].data] == [f"seed {k}" for k in range(4, 14)]
    assert "14, the newest 10 shown" in page.render(rows)


def test_cvar_has_its_interval_its_limit_and_the_multiplier_on_its_own_axis():
    figure = page.figures([full(1), full(2)])["cvar"]
    assert list(trace(figure, "CVaR of the loss").y) == [0.4, 0.8]
    band = trace(figure, "95 % interval")
    assert (list(band.customdata), list(band.y)) == ([0.3, 0.6], [0.6, 1.2])
    assert list(trace(figure, "limit").y) == [0.75, 0.75]
    multiplier = trace(figure, "multiplier")
    assert (list(multiplier.y), multiplier.yaxis) == ([2.0, 4.0], "y2")
    low, high = figure.layout.yaxis2.domain, figure.layout.yaxis.domain
    assert low[1] < high[0]
    assert figure.layout.yaxis2.title.text == "multiplier"


def test_a_multiplier_alone_stands_alone():
    figure = page.figures([row(1, multiplier=1.0), row(2, multiplier=2.0)])["cvar"]
    assert [line.name for line in figure.data] == ["multiplier"]
    assert figure.layout.yaxis.title.text == "multiplier"


def test_the_fan_shows_the_five_levels_of_the_newest_training_that_has_them():
    rows = [full(1, seed=1, trial=1), full(2, seed=1, trial=1), row(1, seed=2, trial=2)]
    figure = page.figures(rows)["quantiles"]
    assert figure.layout.meta == "of seed 1"
    assert list(trace(figure, "median").y) == [0.5, 0.5]
    wide, narrow = trace(figure, "5-95 %"), trace(figure, "25-75 %")
    assert (list(wide.customdata), list(wide.y)) == ([-2.0, -4.0], [2.0, 4.0])
    assert (list(narrow.customdata), list(narrow.y)) == ([-1.0, -1.0], [1.0, 1.0])
    assert wide.fill == narrow.fill == "tonexty"


def test_weights_are_stacked_and_an_expert_that_joins_late_begins_at_zero():
    rows = [row(1, ensemble_weights={"sac": 1.0}), row(2, ensemble_weights={"sac": 0.75, "ppo": 0.25})]
    figure = page.figures(rows)["weights"]
    assert {line.stackgroup for line in figure.data} == {"weights"}
    assert np.sum([line.y for line in figure.data], axis=0).tolist() == [1.0, 1.0]
    assert list(trace(figure, "ppo").y) == [0.0, 0.25]


def test_every_axis_has_a_title_and_every_chart_fits_the_dark_page():
    from mia.evaluation.figures import DARK

    drawn = page.figures([full(k, seed=s, trial=s) for s in (1, 2) for k in (1, 2, 3)])
    for name, figure in drawn.items():
        assert figure.layout.xaxis.title.text == "training steps", name
        assert figure.layout.yaxis.title.text, name
        for line in figure.data:
            if line.line.width:
                assert line.line.color in DARK or name == "weights"


def test_the_page_loads_nothing_and_holds_every_chart(tmp_path):
    path = tmp_path / "log.csv"
    for k in (1, 2):
        append(path, full(k))
    text = page.render(read(path))
    assert re.search(r"<(script|link|img)[^>]+(src|href)=", text) is None
    for name, (caption, _) in page.CAPTIONS.items():
        chart = re.search(rf'<script type="application/json" id="figure-{name}">(.*?)</script>', text).group(1)
        assert json.loads(chart)["data"]
        assert f'aria-label="{caption}"' in text
    assert "ES · ensemble" in text
    assert "trial 1, seed 100, fold 1" in text
    assert 'id="figure-weights"' not in page.render([row(1)])


def test_names_cannot_write_into_the_page():
    text = page.render([row(1, market="<b>x</b>", algo="<i>y</i>", ensemble_weights={"<u>": 1.0})])
    assert "<b>x</b>" not in text.split("</main>")[0]
    assert "<i>y</i>" not in text.split("</main>")[0]
    assert "<u>" not in text.split("</main>")[1]


def test_a_diverged_loss_still_draws(tmp_path):
    append(tmp_path / "log.csv", full(1, reward=float("nan"), finetune_loss=float("inf")))
    append(tmp_path / "log.csv", full(2, reward=float("nan")))
    assert "figure-reward" in page.render(read(tmp_path / "log.csv"))


def test_the_page_lies_under_figures_by_market_and_algorithm(tmp_path):
    expected = tmp_path / "figures" / "ES" / "train_ppo_performance.html"
    assert page.figure_path(tmp_path, "ES", "ppo") == expected


@pytest.mark.parametrize(("low", "span", "form"), [(0.0, 100.0, "$,.0f"), (0.0, 1.0, "$,.2f"), (0.46, 0.02, "$,.3f")])
def test_money_axes_have_as_many_decimals_as_the_span_needs(low, span, form):
    rows = [row(1, reward=low), row(2, reward=low + span)]
    assert page.figures(rows)["reward"].layout.yaxis.tickformat == form
