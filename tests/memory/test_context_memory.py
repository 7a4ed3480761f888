"""The context memory against a brute-force reading of its definition, and against the future."""

import json
from dataclasses import replace

import numpy as np
import pytest
import yaml

from mia.domain.errors import ArtefactMismatch, ConfigurationError, DataError
from mia.domain.rng import generator
from mia.domain.series import MEMORY
from mia.memory.context_basis import ContextBasis
from mia.memory.context_memory import ContextMemory, rebase
from mia.memory.settings import MemorySettings

MINUTE = 60_000_000_000
HOUR = 60 * MINUTE
INPUTS = ("a", "b", "c", "d", "e")
SETTINGS = MemorySettings(
    name="test",
    inputs=INPUTS,
    min_variance_share=0.02,
    horizon_bars=10,
    embargo_bars=20,
    k=12,
    per_hour=3,
    every_minutes=5,
    retention_days=2,
    min_contexts=40,
    min_distances=15,
    clip=10.0,
)
SCORE, SD, HIT, DISTANCE, NOVELTY, EFFECTIVE, MAE, MFE, SAME, PAST, REALISED = range(len(MEMORY))


def random_rows(rows, seed=3, per_session=400):
    """Rows of a market with sessions, an overnight break, a feed that fails now and then."""
    rng = generator(seed, "memory")
    mix = rng.standard_normal((len(INPUTS), len(INPUTS)))
    contexts = rng.standard_normal((rows, len(INPUTS))) @ mix
    contexts[rng.random(rows) < 0.01, 2] = np.nan
    close = 20000.0 + np.cumsum(rng.integers(-5, 6, rows))
    atr = rng.uniform(2, 9, rows)
    atr[rng.random(rows) < 0.01] = np.nan
    session = np.arange(rows) // per_session
    belief = rng.dirichlet(np.ones(3), rows)
    belief[rng.random(rows) < 0.01] = np.nan
    return {
        "contexts": contexts,
        "close": close,
        "high": close + rng.integers(0, 6, rows),
        "low": close - rng.integers(0, 6, rows),
        "atr": atr,
        "belief": belief,
        "session": session,
        "ts": 1_700_000_000_000_000_000 + (np.arange(rows) + session * 600) * MINUTE,
    }


def part(rows, a, b):
    return {name: array[a:b] for name, array in rows.items()}


@pytest.fixture(scope="module")
def rows():
    return random_rows(3000)


@pytest.fixture(scope="module")
def basis(rows):
    return ContextBasis.fit(rows["contexts"][:600], INPUTS, 0.02)


@pytest.fixture(scope="module")
def memory(basis):
    return ContextMemory(basis=basis, settings=SETTINGS)


@pytest.fixture(scope="module")
def answers(memory, rows):
    return memory.advance(memory.new_state(), **rows)


def outcome(rows, i, horizon):
    """Outcome, mae, mfe and bars of row i by the definition, from the whole table."""
    last = i
    while last < i + horizon and last + 1 < len(rows["ts"]) and rows["session"][last + 1] == rows["session"][i]:
        last += 1
    if last == i:
        return 0.0, 0.0, 0.0, 0
    unit, entry, after = rows["atr"][i] * np.sqrt(last - i), rows["close"][i], slice(i + 1, last + 1)
    return (
        (rows["close"][last] - entry) / unit,
        max(0.0, entry - rows["low"][after].min()) / unit,
        max(0.0, rows["high"][after].max() - entry) / unit,
        last - i,
    )


def stored_rows(rows, every):
    """Rows whose context is remembered: complete, and far enough from the one before."""
    chosen, before = [], -np.inf
    for i in range(len(rows["ts"])):
        complete = np.isfinite(rows["contexts"][i]).all() and np.isfinite(rows["atr"][i])
        if complete and rows["ts"][i] - before >= every * MINUTE:
            chosen.append(i)
            before = rows["ts"][i]
    return chosen


def brute_force(rows, basis, settings, t, history, embargo=None):
    """Return the neighbours' rows and a dict of answers at row t, by sorting everything that may be known."""
    s = settings
    embargo = s.embargo_bars if embargo is None else embargo
    able = [
        i
        for i in history
        if i + s.horizon_bars + embargo <= t
        and rows["ts"][i] > rows["ts"][t] - s.retention_days * 24 * HOUR
        and outcome(rows, i, s.horizon_bars)[3] > 0
    ]
    if len(able) < s.min_contexts or not np.isfinite(rows["contexts"][t]).all():
        return None
    points = (rows["contexts"][[t, *able]] - basis.mean) @ basis.directions.T
    gaps = np.linalg.norm(points[1:] - points[0], axis=1)
    taken, hours = [], {}
    for j in np.argsort(gaps, kind="stable"):
        hour = rows["ts"][able[j]] // HOUR
        if hours.get(hour, 0) < s.per_hour and len(taken) < s.k:
            hours[hour] = hours.get(hour, 0) + 1
            taken.append(j)
    d = gaps[taken]
    facts = np.array([outcome(rows, able[j], s.horizon_bars)[:3] for j in taken])
    w = np.exp(-(d**2) / (2 * np.median(d) ** 2))
    w1 = w / w.sum()
    mean = w1 @ facts[:, 0]
    sd = np.sqrt(w1 @ (facts[:, 0] - mean) ** 2)
    effective = w.sum() ** 2 / (w**2).sum()
    now = rows["belief"][t]
    like = np.array([-1 if np.isnan(b[0]) else b.argmax() for b in rows["belief"][[able[j] for j in taken]]])
    return {
        SCORE: np.clip(mean / sd * np.sqrt(effective), -s.clip, s.clip),
        SD: sd,
        HIT: w1 @ (facts[:, 0] > 0),
        DISTANCE: np.median(d),
        EFFECTIVE: effective,
        MAE: w1 @ facts[:, 1],
        MFE: w1 @ facts[:, 2],
        SAME: np.nan if np.isnan(now[0]) else w1 @ (like == now.argmax()),
    }


def test_every_answer_equals_a_brute_force_search(rows, basis, answers):
    history = stored_rows(rows, SETTINGS.every_minutes)
    asked = 0
    for t in range(0, len(answers), 7):
        wanted = brute_force(rows, basis, SETTINGS, t, history)
        if wanted is None:
            assert np.isnan(answers[t, :PAST]).all()
            continue
        asked += 1
        for column, value in wanted.items():
            np.testing.assert_allclose(answers[t, column], value, rtol=1e-9, atol=1e-12, err_msg=MEMORY[column])
    assert asked > 250


def test_a_search_without_the_embargo_would_answer_differently(rows, basis, answers):
    """The brute force is sharp enough to see an embargo that is one bar short."""
    history = stored_rows(rows, SETTINGS.every_minutes)
    changed = 0
    for t in range(1000, 1400):
        short = brute_force(rows, basis, SETTINGS, t, history, embargo=SETTINGS.embargo_bars - 1)
        changed += short is not None and not np.isclose(short[EFFECTIVE], answers[t, EFFECTIVE], rtol=1e-9)
    assert changed >= 5


def test_novelty_is_the_rank_of_the_distance_among_those_of_earlier_stored_contexts(rows, answers):
    history = [i for i in stored_rows(rows, SETTINGS.every_minutes) if np.isfinite(answers[i, DISTANCE])]
    checked = 0
    for t in np.flatnonzero(np.isfinite(answers[:, NOVELTY]))[::11]:
        past = answers[[i for i in history if i < t], DISTANCE][-SETTINGS.capacity :]
        assert len(past) >= SETTINGS.min_distances
        assert answers[t, NOVELTY] == pytest.approx(
            ((past < answers[t, DISTANCE]).sum() + 0.5 * (past == answers[t, DISTANCE]).sum()) / len(past)
        )
        checked += 1
    assert checked > 100


def test_the_past_score_comes_with_what_then_happened_and_never_from_another_session(rows, answers):
    h, checked = SETTINGS.horizon_bars, 0
    for t in range(h, len(answers)):
        score, realised = answers[t, PAST], answers[t, REALISED]
        np.testing.assert_array_equal(score, answers[t - h, SCORE])
        if np.isfinite(score) and np.isfinite(rows["atr"][t - h]):
            checked += 1
            assert realised == pytest.approx(outcome(rows, t - h, h)[0], abs=1e-12)
    assert checked > 1000


def test_an_outcome_ends_with_its_session(basis):
    rows = random_rows(3000, seed=4)
    memory = ContextMemory(basis=basis, settings=SETTINGS)
    before = memory.advance(memory.new_state(), **rows)
    # A gap over night, as wide as it may be, moves no outcome: each price of later sessions is shifted.
    shift = 1000.0 * rows["session"]
    moved = rows | {name: rows[name] + shift for name in ("close", "high", "low")}
    np.testing.assert_array_equal(memory.advance(memory.new_state(), **moved), before)


def poisoned_answers(rows, basis, declared, actual):
    """Answers at some rows, and the same with every price newer than `declared` bars before them times 1000.

    The memory keeps `actual` bars of embargo, and asks half of what it knows, so that poison shows.
    """
    settings = replace(SETTINGS, embargo_bars=actual, k=38, per_hour=12, retention_days=1)
    memory = ContextMemory(basis=basis, settings=settings)
    clean = memory.advance(memory.new_state(), **rows)
    for t in range(900, 2900, 191):
        poisoned = {name: array.copy() for name, array in part(rows, 0, t + 1).items()}
        for name in ("close", "high", "low"):
            poisoned[name][t - declared + 1 :] *= 1000.0
        out = memory.advance(memory.new_state(), **poisoned)
        assert np.isfinite(clean[t, SCORE])
        yield clean[t, :PAST], out[t, :PAST]


@pytest.mark.parametrize("embargo", [0, 20, 45])
def test_prices_newer_than_the_embargo_change_no_statistic(rows, basis, embargo):
    """Row t reads outcomes that ended by t - embargo: prices of later bars may be anything."""
    for clean, poisoned in poisoned_answers(rows, basis, embargo, embargo):
        np.testing.assert_array_equal(poisoned, clean)


def test_a_memory_without_embargo_is_caught(rows, basis):
    """The poison of the test before reaches a memory that says 20 bars and keeps none."""
    caught = [not np.array_equal(*both) for both in poisoned_answers(rows, basis, 20, 0)]
    assert sum(caught) >= 5


def test_rows_to_come_change_nothing(rows, memory, answers):
    for t in (500, 1199, 1200, 2403, 2999):
        cut = memory.advance(memory.new_state(), **part(rows, 0, t))
        np.testing.assert_array_equal(cut, answers[:t])
        wild = {name: array.copy() for name, array in rows.items()}
        for name in ("contexts", "close", "high", "low", "atr", "belief"):
            wild[name][t:] = np.nan if t % 2 else wild[name][t:] * 1000
        out = memory.advance(memory.new_state(), **wild)
        np.testing.assert_array_equal(out[:t], answers[:t])


@pytest.mark.parametrize("sizes", [(1,), (7, 1, 400), (1000,)])
def test_any_cutting_of_the_rows_gives_the_same_bits(rows, memory, answers, sizes):
    state, parts, a, i = memory.new_state(), [], 0, 0
    while a < len(answers):
        b = min(len(answers), a + sizes[i % len(sizes)])
        parts.append(memory.advance(state, **part(rows, a, b)))
        a, i = b, i + 1
    np.testing.assert_array_equal(np.concatenate(parts), answers)


def test_a_saved_state_goes_on_with_the_same_bits(rows, memory, answers, tmp_path):
    state = memory.new_state()
    memory.advance(state, **part(rows, 0, 1777))
    np.savez(tmp_path / "state.npz", **state)
    with np.load(tmp_path / "state.npz") as saved:
        restored = dict(saved)
    memory.advance(state, **part(rows, 1777, 1900))
    np.testing.assert_array_equal(memory.advance(restored, **part(rows, 1777, len(answers))), answers[1777:])


def test_the_state_does_not_grow_and_old_contexts_are_forgotten(rows, memory):
    state = memory.new_state()
    before = sum(array.nbytes for array in state.values())
    memory.advance(state, **rows)
    assert sum(array.nbytes for array in state.values()) == before
    held = state["counts"][2]
    assert 0 < held <= SETTINGS.capacity
    oldest = np.sort(state["keys"][:, 3])[-held]
    assert oldest > rows["ts"][-1] - SETTINGS.retention_days * 24 * HOUR
    later = part(rows, 0, 2) | {"ts": rows["ts"][-1] + np.array([30, 31]) * 24 * HOUR}
    assert np.isnan(memory.advance(state, **later)[:, SCORE]).all()
    assert state["counts"][2] == 0


def test_a_ring_that_wrapped_many_times_still_equals_the_search(basis):
    settings = replace(SETTINGS, every_minutes=1, retention_days=1, k=5, min_contexts=6, per_hour=2)
    rows = random_rows(4000, seed=9, per_session=1380)
    memory = ContextMemory(basis=basis, settings=settings)
    out = memory.advance(memory.new_state(), **rows)
    history = stored_rows(rows, 1)
    for t in (3300, 3600, 3999):
        wanted = brute_force(rows, basis, settings, t, history)
        for column, value in wanted.items():
            np.testing.assert_allclose(out[t, column], value, rtol=1e-9, err_msg=MEMORY[column])


def test_a_new_basis_reads_the_old_contexts_as_if_it_had_always_been_there(rows, memory, basis):
    other = ContextBasis.fit(rows["contexts"][:1500] * 0.5 + 3, INPUTS, 0.3)
    assert len(other.deviations) < len(basis.deviations)
    old = memory.new_state()
    memory.advance(old, **part(rows, 0, 2000))
    changed = ContextMemory(basis=other, settings=SETTINGS)
    always = changed.new_state()
    changed.advance(always, **part(rows, 0, 2000))
    adopted = rebase(old, other)
    after, wanted = (changed.advance(s, **part(rows, 2000, 3000)) for s in (adopted, always))
    columns = [c for c in range(PAST) if c != NOVELTY]
    np.testing.assert_array_equal(after[:, columns], wanted[:, columns])
    # And back again: nothing is lost, and the state adopted from was not touched.
    again = memory.advance(rebase(rebase(old, other), basis), **part(rows, 2000, 2100))
    np.testing.assert_array_equal(again, memory.advance(old, **part(rows, 2000, 2100)))


def test_the_memory_finds_what_contexts_foretell():
    """Where the first input foretells the move, the score ranks outcomes; noise gives no rank."""
    rng = generator(5, "foretell")
    n = 9000
    contexts = rng.standard_normal((n, 3))
    contexts[:, 0] = np.repeat(rng.choice([-1.5, 1.5], n // 15 + 1), 15)[:n] + 0.1 * contexts[:, 0]
    drift = np.where(contexts[:, 0] > 0, 2, -2)
    close = 20000.0 + np.cumsum(drift + rng.integers(-4, 5, n))
    settings = replace(SETTINGS, inputs=("a", "b", "c"), horizon_bars=5, retention_days=30)
    rows = {
        "contexts": contexts,
        "close": close,
        "high": close + 1,
        "low": close - 1,
        "atr": np.full(n, 5.0),
        "belief": np.full((n, 3), 1 / 3),
        "session": np.arange(n) // 1380,
        "ts": (np.arange(n) + 1) * MINUTE,
    }
    memory = ContextMemory(basis=ContextBasis.fit(contexts[:2000], ("a", "b", "c"), 0.02), settings=settings)
    out = memory.advance(memory.new_state(), **rows)
    both = np.isfinite(out[:, PAST])
    assert np.corrcoef(out[both, PAST], out[both, REALISED])[0, 1] > 0.5
    noise = ContextMemory(basis=ContextBasis.fit(contexts[:2000], ("a", "b", "c"), 0.02), settings=settings)
    blind = noise.advance(noise.new_state(), **(rows | {"contexts": rng.permutation(contexts)}))
    assert abs(np.corrcoef(blind[both, PAST], blind[both, REALISED])[0, 1]) < 0.1


def test_the_default_memory_answers_within_two_sessions_as_the_catalogue_says(root):
    body = yaml.safe_load((root / "conf/memory/default.yaml").read_text(encoding="utf-8"))
    settings = MemorySettings(**body | {"inputs": tuple(body["inputs"])})
    n, rng = 2900, generator(8, "warm")
    close = 20000.0 + np.cumsum(rng.integers(-5, 6, n))
    rows = {
        "contexts": rng.standard_normal((n, len(settings.inputs))),
        "close": close,
        "high": close + 2,
        "low": close - 2,
        "atr": np.full(n, 5.0),
        "belief": np.full((n, 3), 1 / 3),
        "session": np.arange(n) // 1380,
        "ts": (np.arange(n) + np.arange(n) // 1380 * 60 + 1) * MINUTE,
    }
    basis = ContextBasis.fit(rows["contexts"][:1000], settings.inputs, settings.min_variance_share)
    memory = ContextMemory(basis=basis, settings=settings)
    assert np.isfinite(memory.advance(memory.new_state(), **rows)[2760:]).all()


def test_the_whitened_training_rows_are_uncorrelated_with_unit_variance(rows, basis):
    train = rows["contexts"][:600]
    train = train[np.isfinite(train).all(axis=1)]
    white = (train - basis.mean) @ basis.directions.T
    np.testing.assert_allclose(white.T @ white / len(white), np.eye(len(basis.deviations)), atol=1e-9)
    assert np.all(np.diff(basis.deviations) < 0)


def test_signs_make_the_largest_loading_positive_or_follow_the_basis_before(rows, basis):
    largest = np.abs(basis.directions).argmax(axis=1)
    assert np.all(basis.directions[np.arange(len(largest)), largest] > 0)
    flipped = replace(basis, directions=-basis.directions)
    again = ContextBasis.fit(rows["contexts"][:700], INPUTS, 0.02, previous=flipped)
    cosines = np.sum(again.directions * flipped.directions, axis=1)
    assert np.all(cosines > 0)


def test_directions_without_variance_are_dropped():
    rng = generator(2, "flat")
    contexts = rng.standard_normal((500, 4))
    contexts[:, 3] = contexts[:, 0] + contexts[:, 1]
    assert len(ContextBasis.fit(contexts, tuple("abcd"), 0.02).deviations) == 3
    with pytest.raises(DataError, match="varies"):
        ContextBasis.fit(np.ones((500, 4)), tuple("abcd"), 0.02)
    with pytest.raises(DataError, match="complete rows"):
        ContextBasis.fit(contexts[:30], tuple("abcd"), 0.02)


def test_a_basis_read_back_has_the_same_bits(basis):
    back = ContextBasis.from_json(basis.to_json())
    assert back.digest == basis.digest
    assert (back.inputs, back.rows, back.fitted_on) == (basis.inputs, basis.rows, basis.fitted_on)
    body = json.loads(basis.to_json())
    body["mean"].pop()
    with pytest.raises(ArtefactMismatch, match="do not fit"):
        ContextBasis.from_json(json.dumps(body))


def test_a_state_of_other_settings_is_refused(rows, memory, basis):
    other = ContextMemory(basis=basis, settings=replace(SETTINGS, retention_days=3))
    with pytest.raises(ArtefactMismatch, match="contexts must have the shape"):
        other.advance(memory.new_state(), **part(rows, 0, 5))
    with pytest.raises(ArtefactMismatch, match="reads 5 inputs"):
        memory.advance(memory.new_state(), **part(rows, 0, 5) | {"contexts": np.zeros((5, 4))})


@pytest.mark.parametrize(
    ("field", "value"),
    [("k", 1), ("min_contexts", 5), ("clip", 0.0), ("inputs", ("a", "a")), ("embargo_bars", -1), ("every_minutes", 0)],
)
def test_settings_that_cannot_work_are_refused_by_name(field, value):
    with pytest.raises(ConfigurationError, match=f"memory test: {field} must"):
        replace(SETTINGS, **{field: value})
