"""The tables hold what an environment pays, to the last bit, and a replay that is restored goes on as it would have."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces

from mia.algo.counterfactual import CounterfactualReplay
from mia.algo.experience import POSITIONS, experience
from mia.desk.accounting import rules, step
from mia.desk.group_columns import GroupColumns
from mia.domain.errors import ArtefactMismatch
from mia.domain.rng import generator
from mia.env.trading_vec_env import TradingVecEnv
from mia.reward.context import CONTEXT
from mia.reward.settings import AdaptiveSettings, CvarSettings, PnlSettings
from mia.risk.limits import unlimited

ADAPTIVE = AdaptiveSettings(
    name="adaptive", good_news=0.5, good_news_factor=1.2, bad_news=-0.5, bad_news_factor=0.8, vix_threshold=20.0,
    vix_factor=0.9, atr_threshold=None, atr_quantile=0.8, atr_factor=0.85, flow_factor=1.1, cvar_threshold=0.1,
    cvar_factor=0.9,
)  # fmt: skip
CVAR = CvarSettings(name="cvar", alpha=0.95, weight=0.2)


@pytest.fixture
def known(tape):
    """600 rows, some of which rules bind, with everything a reward may know; each column is missing now and then."""
    rng = generator(1, "context")
    seen = rng.uniform([-1, 5, 0, -1, 0], [1, 40, 2, 1, 0.3], (600, len(CONTEXT)))
    seen[rng.random(seen.shape) < 0.2] = np.nan
    rows = np.arange(600)
    return replace(tape.slice(0, 600), context=seen, must_flat=rows % 50 == 49, may_enter=rows % 7 > 0)


@pytest.mark.parametrize("settings", [None, PnlSettings(name="pnl")])
def test_plain_profit_is_cents_over_bar_cents_bit_for_bit(known, terms, settings):
    learned = experience(known, terms, settings)
    assert learned.rewards.dtype == np.float32
    assert learned.rewards.tobytes() == (learned.cents / learned.bar_cents).astype(np.float32).tobytes()


@pytest.mark.parametrize("settings", [None, ADAPTIVE, CVAR])
def test_an_environment_pays_what_the_table_says(known, terms, settings):
    learned = experience(known, terms, settings)
    env = TradingVecEnv(known, terms, unlimited(), learned.reward, n_envs=8, seed=0)
    env.reset()
    rng = generator(2, "test")
    for _ in range(599):
        row, position = env.rows, env.accounts[:, 0] + 1
        actions = rng.integers(0, 3, 8)
        _, rewards, _, _ = env.step(actions)
        assert rewards.tobytes() == learned.rewards[row, position, actions].tobytes()


def test_shaping_leaves_the_money_alone_and_changes_what_is_learned(known, terms):
    plain, adaptive, cvar = (experience(known, terms, settings) for settings in (None, ADAPTIVE, CVAR))
    for shaped in (adaptive, cvar):
        assert shaped.cents.tobytes() == plain.cents.tobytes()
        assert shaped.held.tobytes() == plain.held.tobytes()
        assert shaped.bar_cents == plain.bar_cents
        assert not np.array_equal(shaped.rewards, plain.rewards)
        losing = plain.cents < 0
        assert (shaped.rewards[losing] <= plain.rewards[losing]).all()


def test_a_table_entry_worked_by_hand(known, terms):
    """VIX at 30 and wide bars: the short's gain counts 0.9 x 0.85 times, the long's loss is a whole one."""
    known.context[5] = np.nan
    known.context[5, CONTEXT.index("vix")], known.context[5, CONTEXT.index("atr_dynamic")] = 30.0, 5.0
    close, open_ = known.close.copy(), known.open.copy()
    close[5], open_[6], close[6] = 24_000, 24_000, 20_000
    open_[5], open_[7] = 24_000, 20_000
    made = replace(
        known, close=close, open=open_, high=np.maximum(open_, close), low=np.minimum(open_, close),
        may_enter=np.ones(600, dtype=bool),
    )  # fmt: skip
    learned = experience(made, terms, ADAPTIVE)
    assert terms.tick_value_cents == 1
    assert learned.rewards[5, 0, 0] == pytest.approx(4000 * 0.9 * 0.85 / learned.bar_cents)
    assert learned.rewards[5, 2, 2] == pytest.approx(-4000 / learned.bar_cents)


def test_what_is_fitted_is_fitted_on_the_rows_given(known, terms):
    """Later rows are no part of the slice a learner trains on, so they cannot move a threshold."""
    loud = known.context.copy()
    loud[300:, CONTEXT.index("atr_dynamic")] *= 100
    close = known.close.copy()
    close[300:] += 1000 * (np.arange(300) % 2)
    wild = replace(known, context=loud, close=close, high=np.maximum(known.high, close), low=known.low)
    for settings in (ADAPTIVE, CVAR):
        calm, same = (experience(t.slice(0, 300), terms, settings).reward for t in (known, wild))
        assert calm == same
        assert experience(wild, terms, settings).reward != calm


def test_money_between_whole_positions_is_interpolated_exactly_on_triangles(terms, known):
    """What `mia.algo.counterfactual` says of continuous targets, against the kernel with a hundred small contracts."""
    part = 100
    fine = replace(terms, tick_value_cents=1, side_cost_cents=3)
    coarse = experience(known, replace(terms, tick_value_cents=part, side_cost_cents=3 * part))
    rule, rng = rules(fine, unlimited(part)), generator(5, "test")
    for _ in range(3000):
        t = int(rng.integers(0, 599))
        p, a = (int(x) for x in rng.integers(-part, part + 1, 2))
        account = np.zeros(10, dtype=np.int64)
        account[0] = p
        change, _ = step(
            account, a, known.close[t], known.open[t + 1], known.close[t + 1], known.must_flat[t],
            known.may_enter[t], known.session[t + 1] != known.session[t], rule,
        )  # fmt: skip
        assert triangle(coarse.cents[t], p / part, a / part) == pytest.approx(change, abs=1e-6 * part)


def triangle(table, p, a):
    """Interpolate a (3, 3) table at a position and an action; cells both share are cut along action = position."""
    i, j = (min(int(np.floor(x)), 0) + 1 for x in (p, a))  # lower corner of the cell
    u, v = p - POSITIONS[i], a - POSITIONS[j]
    low, high = table[i, j], table[i + 1, j + 1]
    corner = table[i, j + 1] if v >= u else table[i + 1, j]
    return low + min(u, v) * (high - corner) + max(u, v) * (corner - low)


def replay(learned, seed=0):
    width = learned.obs.shape[1]
    touches = np.zeros((1, width), dtype=bool)
    touches[0, :3] = True
    groups = GroupColumns(names=("a",), touches=touches, neutral=np.full(width, 9, np.float32))
    box = spaces.Box(-np.inf, np.inf, (width + 1,), np.float32)
    return CounterfactualReplay(
        1, box, spaces.Discrete(3), "cpu", experience=learned, rng=generator(seed, "test"), groups=groups, dropout=0.3
    )


def test_a_replay_restored_elsewhere_draws_on_bit_for_bit(known, terms):
    learned = experience(known, terms, ADAPTIVE)
    buffer = replay(learned)
    for _ in range(3):
        buffer.outcomes(130)
        buffer.sample(70)
    state = buffer.state()
    kept = {"order": state["order"].copy(), "rng": json.loads(json.dumps(state["rng"]))}
    expected = [part for _ in range(10) for part in (*buffer.outcomes(130), *buffer.sample(70))]
    assert state["order"].tobytes() == kept["order"].tobytes()
    other = replay(learned, seed=9)
    other.outcomes(20)
    other.restore(kept)
    found = [part for _ in range(10) for part in (*other.outcomes(130), *other.sample(70))]
    assert len(found) == len(expected)
    for one, two in zip(found, expected, strict=True):
        assert (one is None and two is None) or torch.equal(one, two)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: {"rng": s["rng"]}, "order and rng"),
        (lambda s: s | {"order": s["order"].astype(np.int32)}, "order and rng"),
        (lambda s: s | {"order": s["order"] + 300}, "draws rows"),
    ],
)
def test_a_replay_state_of_other_rows_is_refused(known, terms, change, message):
    buffer = replay(experience(known, terms))
    buffer.outcomes(10)
    with pytest.raises(ArtefactMismatch, match=message):
        buffer.restore(change(buffer.state()))


def test_outcomes_name_their_rows(known, terms):
    learned = experience(known, terms, CVAR)
    seen = replay(learned).outcomes(100)
    assert seen.reward.numpy().tobytes() == learned.rewards[seen.rows.numpy()].tobytes()
