"""task=compare on runs as they lie on disk: who belongs together, what is never pooled, what is always counted."""

import json
import shutil
import sqlite3
from dataclasses import replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import runs_on_disk as runs

from mia.domain.errors import ConfigurationError
from mia.domain.rng import generator
from mia.evaluation import seeds
from mia.evaluation.ledger import TrialLedger
from mia.task import command_line, compare_limits, compare_runs
from mia.task import compare as task
from mia.task.watch import Watch


@pytest.fixture
def outputs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path / "outputs"


@cache
def composed():
    """The task's settings; composed once, because that takes longer than all that is tested here."""
    settings = command_line.compose(["task=compare", "quiet=true"])
    return replace(settings, evaluation=replace(settings.evaluation, bootstrap_samples=200))


def compare(market=None, **changed):
    """Run the task with changed keys of conf/compare and return what it leaves for programs."""
    settings = composed()
    settings = replace(settings, market=market, compare=replace(settings.compare, **changed))
    folder = Path("outputs", "compare", f"{len(list(Path().glob('outputs/compare/*')))}")
    task.main(settings, {}, folder, Watch(quiet=True))
    assert (folder / "report.html").stat().st_size > 1_000_000  # plotly is within: it opens without a network
    return json.loads((folder / "compare.json").read_text())


def command(*words):
    """Run the command as a person does."""
    return command_line.run(["task=compare", "quiet=true", "evaluation.bootstrap_samples=200", *words])


def test_groups_are_ranked_and_every_seed_and_the_worst_are_told(outputs, capsys):
    reached = {"qr_dqn": [0.8, 0.7, 0.75, 0.1], "ppo": [0.5, 0.52, 0.48, 0.51]}
    for algo, fractions in reached.items():
        for seed, fraction in enumerate(fractions):
            runs.world(outputs, algo, seed, fraction)
    found = compare()
    (panel,) = found["panels"]
    assert [(group["group"], group["worst"]) for group in panel["groups"]] == [
        ("qr_dqn", {"seed": 3, "score": 0.1}),
        ("ppo", {"seed": 2, "score": 0.48}),
    ]
    for group in panel["groups"]:
        assert [score["score"] for score in group["scores"]] == reached[group["group"]]
        assert group["iqm"] == pytest.approx(seeds.interquartile_mean(np.array(reached[group["group"]])))
        assert group["interval"][0] <= group["iqm"] <= group["interval"][1]
    (pair,) = panel["pairs"]
    assert pair["probability_of_improvement"] == 12 / 16  # counted by hand
    assert any("Fewer than 10 seeds: qr_dqn (4), ppo (4)" in warning for warning in found["warnings"])
    said = capsys.readouterr().out
    assert "its worst seed, 3, reached 0.10" in " ".join(said.split())
    assert "report.html" in said


def test_same_runs_give_the_same_comparison(outputs):
    for seed in range(3):
        runs.world(outputs, "ppo", seed, 0.1 * seed)
    assert compare() == compare()


def test_runs_judged_on_different_data_are_strata_and_never_exchange(outputs):
    for seed in range(3):
        for algo, edge in (("ppo", 0.0), ("qr_dqn", 30.0)):
            for data in ("a" * 64, "b" * 64):
                daily = generator(seed, algo, data[0]).normal(edge, 100, 20)
                runs.market(outputs, algo, seed, daily, data=data)
    found = compare()
    pooled, *alone = found["panels"]
    places = [panel["judged_on"] for panel in alone]
    assert [place[-15:] for place in places] == ["(data=aaaaaaaa)", "(data=bbbbbbbb)"]
    assert pooled["judged_on"] == ", ".join(places)
    assert [len(group["scores"]) for group in pooled["groups"]] == [6, 6]
    assert any("judged on 2 different markets" in warning for warning in found["warnings"])
    # By hand: a run only meets runs judged on the same data.
    values = {
        (group["group"], score["judged_on"], score["seed"]): score["score"]
        for group in pooled["groups"]
        for score in group["scores"]
    }
    ahead, behind = pooled["pairs"][0]["ahead"], pooled["pairs"][0]["behind"]
    wins = [values[ahead, place, i] > values[behind, place, j] for place in places for i in range(3) for j in range(3)]
    assert pooled["pairs"][0]["probability_of_improvement"] == pytest.approx(np.mean(wins))


def test_a_made_up_market_is_one_stratum_though_every_seed_draws_its_own_data(outputs):
    for seed in range(3):
        runs.market(outputs, "ppo", seed, [1.0, -2.0, 3.0] * 4, data=f"{seed}" * 64, source=runs.SIMULATED)
    weaker = {**runs.SIMULATED, "alpha": 0.0}
    for seed in range(3):
        runs.market(outputs, "ppo", seed, [1.0, -2.0, 3.5] * 4, data=f"{seed + 4}" * 64, source=weaker)
    found = compare()
    places = [panel["judged_on"] for panel in found["panels"][1:]]
    assert [place.split(" (")[1] for place in places] == ["source.alpha=0.2)", "source.alpha=0.0)"]


def test_groups_that_met_nowhere_are_not_ranked_together(outputs):
    for seed in range(2):
        runs.world(outputs, "ppo", seed, 0.5 + seed / 10)
        runs.world(outputs, "sac", seed, 0.6 + seed / 10, source={**runs.WORLD, "signal": 0.3})
    found = compare()
    assert [[group["group"] for group in panel["groups"]] for panel in found["panels"]] == [["ppo"], ["sac"]]
    assert any("No market, world or span was judged by all groups" in warning for warning in found["warnings"])


def test_worlds_and_markets_have_each_their_own_metric(outputs):
    for seed in range(2):
        runs.world(outputs, "ppo", seed, 0.4 + seed / 10)
        runs.world(outputs, "ppo", seed, None, source={"name": "null_market", "kind": "null_market"}, data="e" * 64)
        runs.market(outputs, "ppo", seed, [5.0, -3.0, float(seed)] * 4)
    found = compare()
    assert sorted(panel["metric"] for panel in found["panels"]) == [
        "Sharpe ratio, annual",
        "expected profit per bar [units]",
        "fraction of the optimum",
    ]
    only = compare(metric="net_usd")
    assert [panel["metric"] for panel in only["panels"]] == ["net profit [USD]"]
    assert any("4 of 6 runs have no net_usd" in warning for warning in only["warnings"])
    less = compare(metric="-oos.net_usd")
    scores = [group["scores"] for panel in less["panels"] for group in panel["groups"]]
    assert [score["score"] for score in scores[0]] == [-8.0, -12.0]


def test_what_a_policy_became_by_fine_tuning_is_not_pooled_with_plain_runs(outputs):
    for seed in range(3):
        runs.market(outputs, "qr_dqn", seed, [1.0, -1.0, 2.0])
        runs.market(outputs, "qr_dqn", seed, [5.0, -1.0, 6.0], task="finetune")
    (panel,) = compare()["panels"]
    assert {group["group"]: len(group["scores"]) for group in panel["groups"]} == {
        "qr_dqn": 3,
        "qr_dqn (task=finetune)": 3,
    }


def test_a_race_is_a_comparison_itself_and_left_out_without_a_word(outputs):
    for seed in range(2):
        runs.world(outputs, "ppo", seed, 0.5)
        runs.world(outputs, "qr_dqn", seed, 0.5)
        folder = runs.leave(outputs, "ppo", seed, race={"ratio": 20.0})
        summary = json.loads((folder / "summary.json").read_text())
        del summary["digest"]
        (folder / "summary.json").write_text(json.dumps(summary))
    found, problems = compare_runs.found((), "outputs")
    assert len(found) == 4
    assert problems == []


def test_any_key_makes_groups_and_what_a_group_pools_is_said(outputs):
    for seed in range(2):
        runs.world(outputs, "ppo", seed, 0.4 + seed / 10)
        wide = (("algo", {"name": "ppo", "network": [256, 256]}),)
        runs.world(outputs, "ppo", seed, 0.6 + seed / 10, config=wide)
    pooled = compare()
    assert any(
        "ppo pools runs that differ in algo.network; compare.by=algo+algo.network" in w for w in pooled["warnings"]
    )
    apart = compare(by="algo+algo.network")
    assert {group["group"] for group in apart["panels"][0]["groups"]} == {"ppo · [64, 64]", "ppo · [256, 256]"}
    assert not any("pools" in warning for warning in apart["warnings"])
    assert compare(by="reward")["panels"][0]["groups"][0]["group"] == "pnl"


def test_repeats_of_a_result_are_shown_once(outputs):
    for seed in (0, 0, 1):
        runs.world(outputs, "ppo", seed, 0.4 + seed / 10)
    found = compare()
    assert len(found["runs"]) == 2
    assert any("1 run repeats" in warning for warning in found["warnings"])


def test_deleting_runs_never_lowers_the_trial_count(outputs):
    folders = [runs.market(outputs, "ppo", seed, generator(seed, "x").normal(0, 100, 24)) for seed in range(5)]
    assert compare()["trials"] == {"MNQ": 5}
    for folder in folders[1:4]:
        shutil.rmtree(folder)
    left = compare()
    assert (len(left["runs"]), left["trials"]) == (2, {"MNQ": 5})
    assert left["luck"][0]["entered"] == 5  # the ledger remembers what they earned
    assert "MNQ: of 5 trials counted, 5 entered the tests." in left["luck_note"]
    with sqlite3.connect(outputs / "trials.sqlite") as raw:
        raw.execute("DELETE FROM trials WHERE seed IN (1, 2, 3)")
    raw.close()
    thinned = compare()
    assert thinned["trials"] == {"MNQ": 5}
    assert "2 entered the tests; 3 are no longer on record but count" in thinned["luck_note"]
    (outputs / "trials.sqlite").unlink()
    assert compare()["trials"] == {"MNQ": 5}  # the last run knew how many there had been
    assert not (outputs / "trials.sqlite").exists()  # reading does not make one
    shutil.rmtree(outputs / "runs")
    runs.market(outputs, "ppo", 9, [1.0, 2.0] * 6)
    shutil.rmtree(outputs / "runs")
    with pytest.raises(ConfigurationError, match=r"no finished runs.*the ledger counts 1 trial\)"):
        compare()


def test_failed_trials_count_and_trials_on_other_days_are_kept_apart(outputs):
    for seed in range(3):
        runs.market(outputs, "ppo", seed, generator(seed, "x").normal(0, 100, 24))
    runs.market(outputs, "sac", 0, generator(7, "x").normal(0, 100, 30), data="f" * 64)
    book = TrialLedger(outputs / "trials.sqlite")
    same = {"market": "MNQ", "algo": "ppo", "config_digest": "c", "data_digest": "d", "started_at": "2026-01-05"}
    book.fail(book.begin(seed=9, **same), "stopped")
    book.begin(seed=10, **same)
    found = compare()
    assert found["trials"] == {"MNQ": 6}
    assert [(item["sessions"], item["entered"]) for item in found["luck"]] == [(24, 3), (30, 1)]
    assert "of 6 trials counted, 4 entered the tests, on 2 sets of days" in found["luck_note"]
    assert "2 left no days" in found["luck_note"]


def test_the_best_of_all_trials_is_held_against_the_best_baseline(outputs):
    rule = generator(1, "rule").normal(40, 50, 60)
    for seed in range(8):
        noise = generator(seed, "noise").normal(0, 30, 60)
        runs.market(outputs, "ppo", seed, rule + noise - 15, baselines={"flat": [0.0] * 60, "sma_cross": list(rule)})
    (luck,) = compare()["luck"]
    assert luck["spa_p_flat"] < 0.05  # it earns, beyond doubt
    assert (luck["baseline"], luck["skill"]) == ("sma_cross", False)
    assert luck["spa_p_baseline"] > 0.05  # but no more than the rule it follows
    assert "not distinguishable from luck" in compare()["verdict"]


def test_without_the_baselines_days_nothing_is_called_skill(outputs):
    for seed in range(3):
        runs.market(outputs, "ppo", seed, generator(seed, "x").normal(90, 100, 60))
    (luck,) = compare()["luck"]
    assert luck["spa_p_flat"] < 0.05
    assert (luck["baseline"], luck["spa_p_baseline"], luck["skill"]) == (None, None, False)


def test_a_market_named_leaves_the_others_out(outputs):
    for seed in range(2):
        runs.world(outputs, "ppo", seed, 0.5)
        runs.market(outputs, "ppo", seed, [5.0, -3.0, float(seed)] * 4)
    assert {run["metric"] for run in compare(market=SimpleNamespace(name="MNQ"))["runs"]} == {"oos.sharpe"}


def test_runs_are_named_by_folder_file_or_glob(outputs):
    folders = [runs.world(outputs, "ppo", seed, 0.5 + seed / 100) for seed in range(4)]
    few = compare(runs=(str(folders[0]), f"{folders[1]}/summary.json"))
    assert [run["seed"] for run in few["runs"]] == [0, 1]
    assert len(compare(runs=("outputs/runs/*/00[0-2]*",))["runs"]) == 3


def test_a_damaged_summary_is_named_and_left_out(outputs):
    for seed in range(3):
        folder = runs.world(outputs, "ppo", seed, 0.5 + seed / 100)
    (folder / "summary.json").write_text('{"market": "WORLD", ')
    found = compare()
    assert len(found["runs"]) == 2
    assert any(str(folder) in warning and "left out" in warning for warning in found["warnings"])


def test_a_run_without_hydras_record_is_judged_by_its_summary(outputs):
    for seed in range(2):
        shutil.rmtree(runs.market(outputs, "ppo", seed, [5.0, -3.0, float(seed)] * 4) / ".hydra")
    assert compare()["panels"][0]["groups"][0]["group"] == "ppo"


def test_who_keeps_a_limit_is_counted_and_the_worst_seed_named(outputs, capsys):
    reached = {"ppo_lagrangian": [1.9, 2.2, 2.25, 0.0], "qr_dqn": [3.0, 3.2, 2.9, 3.1]}
    for algo, highest in reached.items():
        for seed, cvar_high in enumerate(highest):
            runs.limited(outputs, algo, seed, 0.5, cvar_high, abstains=cvar_high == 0.0)
    runs.world(outputs, "qr_dqn", 9, 0.5)
    found = compare()["limits"]
    # Kept is 1.1 x 2 = 2.2 or less; only runs on a world with a limit count.
    assert found == [
        {
            "group": "ppo_lagrangian",
            "judged_on": "cmdp",
            "limit": 2.0,
            "runs": 4,
            "kept": 3,
            "stay_flat": 1,
            "worst_cvar_high": 2.25,
            "worst_seed": 2,
        },
        {
            "group": "qr_dqn",
            "judged_on": "cmdp",
            "limit": 2.0,
            "runs": 4,
            "kept": 0,
            "stay_flat": 0,
            "worst_cvar_high": 3.2,
            "worst_seed": 1,
        },
    ]
    assert "limits: kept if" in capsys.readouterr().out
    (page,) = outputs.glob("compare/*/report.html")
    assert "Who keeps the limit" in page.read_text()


def test_a_limit_of_the_learner_is_told_where_the_world_has_none(outputs):
    def block(high, kept):
        return {"limit": 1.5, "cvar_high": high, "kept": kept, "unit": "episode"}

    for seed, high in enumerate([1.2, 1.8]):
        runs.world(outputs, "ppo_lagrangian", seed, 0.5, constraint=block(high, high < 1.5))
    runs.world(outputs, "qr_dqn", 0, 0.5)
    (row,) = compare()["limits"]
    assert row["judged_on"] == "yardstick, episodes of the training fold [episode]"
    assert (row["group"], row["limit"], row["runs"], row["kept"]) == ("ppo_lagrangian", 1.5, 2, 1)
    assert (row["worst_cvar_high"], row["worst_seed"]) == (1.8, 1)


def test_of_folds_that_have_a_limit_each_the_nearest_to_it_is_told(outputs):
    folds = [
        {"constraint": {"limit": 2.0, "cvar_high": high, "kept": high < 2.0, "unit": "usd"}} for high in (0.5, 2.5, 1.0)
    ]
    folder = runs.leave(outputs, "ppo_lagrangian", 0, market="MNQ", folds=folds)
    (run,), _ = compare_runs.found((str(folder),), "outputs")
    bound = compare_limits.bound_of(run, "MNQ")
    assert (bound.limit, bound.high, bound.kept) == (2.0, 2.5, False)


def test_different_limits_are_told_apart(outputs):
    for seed in range(2):
        runs.limited(outputs, "ppo", seed, 0.5, 1.0 + seed)
        runs.limited(outputs, "ppo", seed, 0.5, 5.0, source={"name": "cmdp", "kind": "cmdp", "limit": 3.0})
    assert [(row["judged_on"], row["kept"]) for row in compare()["limits"]] == [
        ("cmdp (source.limit=2.0)", 2),
        ("cmdp (source.limit=3.0)", 0),
    ]


def test_without_a_world_with_a_limit_nothing_is_said_of_limits(outputs, capsys):
    for seed in range(2):
        runs.world(outputs, "ppo", seed, 0.5)
    assert compare()["limits"] == []
    (page,) = outputs.glob("compare/*/report.html")
    assert "Who keeps the limit" not in page.read_text()
    assert "limits" not in capsys.readouterr().out


REFUSALS = {
    "a pattern without runs": ({"runs": ("nowhere",)}, "leads to no summary.json"),
    "a key nobody has": ({"by": "colour"}, "'colour' is neither in the configuration nor in the summary"),
    "a metric nobody has": ({"metric": "oos.sharpe"}, "none of 2 runs has it"),
    "a metric that is no number": ({"metric": "algo"}, "none of 2 runs has it"),
    "odd blocks": ({"blocks": 7}, "blocks must be even"),
    "groups of one": ({"by": "seed"}, "every group is a single run"),
    "a market without runs": ({"market": SimpleNamespace(name="ES")}, "no finished runs of ES"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_refusals_name_thing_and_remedy_in_one_line(case, outputs):
    for seed in range(2):
        runs.world(outputs, "ppo", seed, 0.5)
    changed, expected = REFUSALS[case]
    with pytest.raises(ConfigurationError) as caught:
        compare(**changed)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (outputs / "compare").exists()


def test_nothing_to_compare_is_one_line_and_leaves_nothing(outputs, capsys):
    assert command() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "no finished runs" in line
    assert list(outputs.parent.iterdir()) == []


def test_only_needed_sections_of_a_configuration_are_parsed(outputs):
    folder = runs.world(outputs, "ppo", 0, 0.5)
    with (folder / ".hydra" / "config.yaml").open("a") as record:
        record.write("features:\n  - : this is no YAML [\n")
    ((run,), problems) = compare_runs.found((), str(outputs))
    assert (run.section("algo")["name"], run.section("nothing"), problems) == ("ppo", None, [])


def test_a_sweep_over_seeds_is_compared_and_stays_counted_when_a_run_is_deleted(outputs):
    rows = ["source.train_rows=4000", "source.judge_rows=4000", "algo.updates=60", "algo.updates_per_step=10"]
    sweep = ["-m", "experiment=yardstick", "algo=qr_dqn", "quiet=true", "seed=range(100,103)", *rows]
    assert command_line.run(sweep) == 0
    assert command() == 0
    (path,) = outputs.glob("compare/*/*/compare.json")
    found = json.loads(path.read_text())
    assert [run["seed"] for run in found["runs"]] == [100, 101, 102]
    assert found["panels"][0]["metric"] == "fraction of the optimum"
    assert found["trials"] == {"WORLD": 3}
    shutil.rmtree(found["runs"][0]["run"])
    left = compare()
    assert (len(left["runs"]), left["trials"]) == (2, {"WORLD": 3})
