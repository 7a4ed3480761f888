"""Leaks planted on purpose are caught, each by the check that is meant for it; the clean walk gives no alarm.

One small walk (regular hours, eight sessions) is shared. `task=audit` runs every check; here each leak meets only
the check that must see it, and only what the leak touches is computed again.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import small_walk

from mia.task import (
    audit_checks,
    audit_fits,
    audit_sources,
    audit_stream,
    audit_subject,
    command_line,
    features,
    ingest,
    planted_leaks,
)
from mia.task.watch import Watch

OVERRIDES = (
    "+market=ES",
    "task=audit",
    "features=full350",
    "source.hours=rth",
    "source.sessions=8",
    "source.chain_minutes=60",
    "source.news_backdated_share=0.5",
    "source.news_per_hour=20",
    "snapshots.first_sessions=3",
    "evaluation.min_train_sessions=4",
    "evaluation.min_train_share=0",
    "selection.max_rows=800",
    "selection.trees=3",
    "selection.bootstraps=1",
    "awareness=off",
    "encoder=lstm",
    "encoder.lstm_hidden=2",
    "encoder.lstm_window=8",
    "encoder.epochs=1",
    "encoder.steps=1",
    "encoder.sequences=4",
    "encoder.sequence_bars=64",
    "encoder.max_rows=1200",
    "memory.k=10",
    "memory.min_contexts=40",
    "memory.min_distances=20",
    "regime.starts=1",
    "audit.cuts=15",
    "audit.poison_rows=40",
    "audit.delay_rows=300",
    "audit.effort=0.01",
)
WATCH = Watch(quiet=True)


@pytest.fixture(scope="module")
def settings():
    return audit_subject.one_fold(command_line.compose(list(OVERRIDES)))


@pytest.fixture(scope="module")
def clean(settings):
    made = ingest.make(settings, WATCH)
    table = features.make(settings, made, WATCH)
    sessions = ingest.opened(settings, WATCH).sessions
    bare = audit_subject.of_table(settings, made, table, WATCH, sessions=sessions, policy=object())
    return replace(bare, policy=small_walk.busy_policy(bare.lesson.template.width))


@pytest.fixture(scope="module")
def trained(clean):
    """The same with a policy that was trained, for the leaks that sit there."""
    return replace(clean, policy=audit_subject.short_training(clean.settings, clean.lesson, WATCH))


@pytest.fixture(scope="module")
def cuts(clean):
    return audit_stream.where.merged(audit_stream.cuts(clean))


def calm(*_):
    """No progress bar."""


def leaks(findings):
    return {finding.area: finding for finding in findings if finding.verdict == "LEAK"}


def again(subject):
    """The subject with every row walked again by the fits at hand, and the fold's part on top."""
    table = audit_subject.replayed(subject.settings, subject.made, subject.table)
    return relearned(replace(subject, table=table), selection=subject.selection)


def relearned(subject, selection=None):
    """The fold's part again: view, selection unless given, and observation; a policy of another width is replaced."""
    made = audit_subject.of_table(
        subject.settings,
        subject.made,
        subject.table,
        WATCH,
        sessions=subject.sessions,
        selection=selection,
        policy=subject.policy,
    )
    width = made.lesson.template.width
    return made if subject.policy.width == width else replace(made, policy=small_walk.busy_policy(width))


def test_the_clean_walk_gives_no_alarm_when_its_future_is_cut_off_or_spoilt(clean, cuts):
    found = audit_stream.check(clean, cuts, calm)
    assert leaks(found) == {}
    areas = {finding.area for finding in found}
    assert areas >= {"features", "belief", "regime", "embedding", "memory", "self", "view", "observation", "action"}
    assert sum(finding.columns for finding in found if finding.check == audit_stream.CUT) > 350


def test_the_clean_walk_gives_no_alarm_in_the_other_checks(trained, cuts):
    found = [audit_checks.delayed(trained), audit_checks.embargo(trained), *audit_checks.paid(trained)]
    found += [audit_fits.log(trained), audit_sources.stamps(trained), *audit_sources.companions(trained, cuts, calm)]
    assert leaks(found) == {}
    assert {finding.verdict for finding in found} == {"clean"}


def test_the_clean_walk_is_fitted_the_same_whatever_comes_later(trained):
    found = [*audit_fits.of_the_fold(trained, WATCH), *audit_fits.below_the_policy(trained, WATCH)]
    assert leaks(found) == {}
    assert {finding.area for finding in found} >= {"view", "selection", "policy", "fit 1", "fit 2"}


@pytest.mark.parametrize(
    ("plant", "area", "column"),
    [
        ("future_return", "features", "log_return_1"),
        ("centred_window", "features", "log_return_5"),
        ("full_day_vwap", "features", "vwap_band_z"),
        ("backward_fill", "features", "rsi_14"),
        ("whole_sample_z", "features", "realized_vol_30m"),
        ("smoothed_hmm", "belief", "trend"),
        ("memory_foresees", "memory", "mm_score"),
    ],
)
def test_a_leak_in_the_pipeline_is_seen_when_the_future_is_cut_off(clean, cuts, plant, area, column):
    with planted_leaks.planted(plant):
        found = leaks(audit_stream.check(again(clean), cuts[::5], calm))
    assert area in found
    assert column in {offence.column for offence in found[area].offences}


@pytest.mark.parametrize(
    ("plant", "area"), [("view_centred_by_batch", "view"), ("observation_one_row_late", "observation")]
)
def test_a_leak_between_features_and_policy_is_seen_when_the_future_is_cut_off(clean, cuts, plant, area):
    with planted_leaks.planted(plant):
        found = leaks(audit_stream.check(relearned(clean, clean.selection), cuts[::5], calm))
    assert area in found
    assert "features" not in found


@pytest.mark.parametrize(
    ("plant", "area"),
    [
        ("scaler_on_all_data", "view"),
        ("selection_outside_fold", "selection"),
        ("policy_sees_the_test", "policy"),
    ],
)
def test_a_fit_that_sees_the_test_is_another_one_when_the_test_is_replaced(trained, plant, area):
    with planted_leaks.planted(plant):
        subject = relearned(trained)
        if plant == "policy_sees_the_test":
            subject = replace(subject, policy=audit_subject.short_training(subject.settings, subject.lesson, WATCH))
        assert area in leaks(audit_fits.of_the_fold(subject, WATCH))


@pytest.mark.parametrize(("plant", "part"), [("encoder_on_all_rows", "encoder"), ("pca_on_full_sample", "fitted")])
def test_a_fit_below_the_policy_that_sees_everything_is_another_one_when_what_follows_is_replaced(clean, plant, part):
    with planted_leaks.planted(plant):
        table = features.make(clean.settings, clean.made, WATCH)
        found = leaks(audit_fits.below_the_policy(replace(clean, table=table), WATCH))
    assert {"fit 1", "fit 2"} <= set(found)
    assert part in {offence.column for offence in found["fit 2"].offences}


def test_a_fit_used_on_rows_it_was_fitted_on_is_in_the_fit_log(trained):
    with planted_leaks.planted("newest_fit_everywhere"):
        finding = audit_fits.log(relearned(trained))
    assert [offence.column for offence in finding.offences] == ["fold: everything below"]


def test_memory_without_its_embargo_is_caught(clean):
    with planted_leaks.planted("memory_without_embargo"):
        assert audit_checks.embargo(clean).verdict == "LEAK"


@pytest.mark.parametrize(
    ("plant", "area", "column"),
    [("same_day_open_interest", "options", "opt.call_oi"), ("news_by_event_time", "news", "news.count")],
)
def test_companions_told_too_early_are_seen_when_the_bars_end_sooner(clean, cuts, plant, area, column):
    with planted_leaks.planted(plant):
        made = ingest.make(clean.settings, WATCH)
        found = leaks(audit_sources.companions(replace(clean, made=made), cuts, calm))
    assert column in {offence.column for offence in found[area].offences}


def test_a_feed_labelled_by_its_open_is_caught_by_one_bars_delay(clean):
    with planted_leaks.planted("bar_labelled_by_open"):
        made = ingest.make(clean.settings, WATCH)
        table = audit_subject.replayed(clean.settings, made, clean.table)
        finding = audit_checks.delayed(replace(clean, made=made, table=table))
    assert finding.verdict == "LEAK"
    assert "delta_ratio" in {offence.column for offence in finding.offences}


def test_a_future_return_that_lies_in_the_data_is_caught_by_one_bars_delay(clean):
    block = clean.table.block.take(slice(None))
    block.features[:-1, clean.table.plans.names.index("log_return_1")] = np.diff(
        np.log(clean.made.bars.column("bar.close"))
    )
    finding = audit_checks.delayed(replace(clean, table=replace(clean.table, block=block)))
    assert [offence.column for offence in finding.offences] == ["log_return_1"]


def test_a_fill_at_the_price_of_the_decision_is_caught(clean):
    with planted_leaks.planted("fill_at_the_close"):
        assert leaks(audit_checks.paid(clean))["reward"].check == "fill price"


@pytest.fixture(scope="module")
def files(clean, tmp_path_factory):
    """The bars as a file in points with two rolls that jump, news and an index beside it, and settings to read them."""
    bars, tick = clean.made.bars, clean.settings.market.tick_size
    folder, stamps = tmp_path_factory.mktemp("files"), pd.to_datetime(clean.made.bars.ts, utc=True)
    contract = (np.arange(len(bars)) >= 900).astype(int) + (np.arange(len(bars)) >= 2100)
    prices = {name: (bars.column(f"bar.{name}") + 80 * contract) * tick for name in ("open", "high", "low", "close")}
    frame = pd.DataFrame({"ts": stamps, **prices, "volume": bars.column("bar.volume")})
    frame["contract"] = np.array(["H", "M", "U"])[contract]
    frame.to_parquet(folder / "es.parquet")
    index = pd.DataFrame({"ts": stamps, "value": bars.column("xa.vix")})[::7]
    index.to_parquet(folder / "vix.parquet")
    news = pd.DataFrame({"received": stamps + pd.Timedelta("11s"), "headline": "Stocks rise on strong earnings"})[::23]
    news.to_parquet(folder / "news.parquet")
    words = [word for word in OVERRIDES if not word.startswith("source.")]
    words += ["source=files", f"source.path={folder / 'es.parquet'}", "source.label=close", "source.hours=rth"]
    words += [
        "source.columns.roll=contract",
        "features=bars_only",
        "encoder=none",
        "audit.file_cuts=2",
        "audit.rolls=2",
    ]
    words += [f"source.cross=[{{series: xa.vix, path: '{folder / 'vix.parquet'}', column: value, label: close}}]"]
    beside = f"path: '{folder / 'news.parquet'}', received: received, headline: headline, max_silence_minutes: 60"
    return audit_subject.one_fold(command_line.compose([*words, f"source.news={{{beside}}}"]))


def of_files(settings, clean):
    made = ingest.make(settings, WATCH)
    return audit_sources.shorter(replace(clean, settings=settings, made=made), WATCH)


def test_files_that_end_sooner_give_the_same_bars(files, clean):
    found = of_files(files, clean)
    assert [finding.verdict for finding in found] == ["clean"]
    assert found[0].cuts >= 6
    assert found[0].note == ""


def test_an_index_filled_from_behind_is_caught_in_copies_of_the_files_that_end_sooner(files, clean, monkeypatch):
    from mia.source import series_files

    def join(self, ts, max_age_ns):
        return self.values[np.minimum(np.searchsorted(self.available, ts), len(self.values) - 1)]

    monkeypatch.setattr(series_files.KnownSeries, "join", join)
    found = leaks(of_files(files, clean))
    assert [offence.column for offence in found["bars"].offences] == ["xa.vix"]


def test_prices_adjusted_back_from_the_newest_contract_are_caught_at_the_rolls(files, clean):
    with planted_leaks.planted("back_adjustment_level"):
        found = leaks(of_files(files, clean))
    assert "bar.close" in {offence.column for offence in found["bars"].offences}


def test_every_leak_that_can_be_planted_is_tried_here(request):
    source = request.path.read_text(encoding="utf-8")
    assert [name for name in planted_leaks.PLANTS if f'"{name}"' not in source] == []
    assert len(planted_leaks.PLANTS) >= 12
