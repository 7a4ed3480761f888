"""The replay gives every outcome the accounting kernel knows, and none beyond the tape's end."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from gymnasium import spaces
from sb3_contrib.common.utils import quantile_huber_loss
from scipy import stats
from stable_baselines3 import DQN

from mia.algo.counterfactual import CounterfactualReplay
from mia.algo.experience import POSITIONS, experience
from mia.algo.qr_dqn import all_positions, quantile_huber_gradient
from mia.desk.group_columns import GroupColumns
from mia.domain.errors import DataError
from mia.domain.rng import generator
from mia.env.trading_vec_env import TradingVecEnv
from mia.reward.pnl import PnlReward
from mia.risk.limits import unlimited


@pytest.fixture
def short(tape):
    """400 rows that must be flat at every 50th row, and may not be entered in the first 20."""
    part = tape.slice(0, 400)
    must_flat = np.arange(400) % 50 == 49
    return replace(part, must_flat=must_flat, may_enter=np.arange(400) >= 20)


def replay(learned, **more):
    box = spaces.Box(-np.inf, np.inf, (learned.obs.shape[1] + 1,), np.float32)
    return CounterfactualReplay(1, box, spaces.Discrete(3), "cpu", experience=learned, rng=generator(0, "test"), **more)


def test_experience_is_the_hand_computed_money(short, terms):
    learned = experience(short, terms)
    assert terms.tick_value_cents == 1
    for t in (0, 30, 49, 200):
        gap, move = short.open[t + 1] - short.close[t], short.close[t + 1] - short.open[t + 1]
        for p, held in enumerate(POSITIONS):
            for a, wish in enumerate(POSITIONS):
                target = wish
                if not short.may_enter[t]:
                    target = min(max(wish, min(held, 0)), max(held, 0))
                if short.must_flat[t]:
                    target = 0
                cents = held * gap + target * move - terms.side_cost_cents * abs(target - held)
                assert learned.cents[t, p, a] == cents
                assert POSITIONS[learned.held[t, p, a]] == target


def test_every_row_but_the_last_is_drawn_once_before_any_comes_again(short, terms):
    buffer = replay(experience(short, terms))
    rows = np.concatenate([buffer.draw(133) for _ in range(3)])
    assert sorted(rows.tolist()) == list(range(399))


def test_transitions_follow_the_tape(short, terms):
    learned = experience(short, terms)
    buffer = replay(learned)
    place = {row.tobytes(): t for t, row in enumerate(learned.obs)}
    batch = buffer.sample(256)
    for i in range(256):
        t = place[batch.observations[i, :-1].numpy().tobytes()]
        p, a = POSITIONS.index(int(batch.observations[i, -1])), int(batch.actions[i])
        assert place[batch.next_observations[i, :-1].numpy().tobytes()] == t + 1
        assert batch.rewards[i].item() == pytest.approx(learned.cents[t, p, a] / learned.bar_cents, rel=1e-6)
        assert batch.next_observations[i, -1] == POSITIONS[learned.held[t, p, a]]
    assert not batch.dones.any()


def test_replay_holds_no_copy_of_the_observations(short, terms):
    learned = experience(short, terms)
    assert replay(learned).market.data_ptr() == learned.obs.ctypes.data


def test_unmodified_library_learner_can_use_the_replay(short, terms):
    learned = experience(short, terms)
    env = TradingVecEnv(short, terms, unlimited(), PnlReward(scale_cents=learned.bar_cents), n_envs=1, seed=0)
    model = DQN(
        "MlpPolicy",
        env,
        learning_starts=0,
        replay_buffer_class=CounterfactualReplay,
        replay_buffer_kwargs={"experience": learned, "rng": generator(0, "test")},
        seed=0,
        device="cpu",
    )
    before = [p.detach().clone() for p in model.q_net.parameters()]
    model.learn(40, log_interval=None)
    assert any(not torch.equal(a, b) for a, b in zip(before, model.q_net.parameters(), strict=True))


def test_prices_that_never_move_are_refused(short, terms):
    still = np.full(400, 5, dtype=np.int64)
    with pytest.raises(DataError, match="never moves"):
        experience(replace(short, open=still, high=still, low=still, close=still), terms)


@pytest.mark.parametrize("targets", [1, 4, 11])
def test_gradient_equals_that_of_the_librarys_loss(targets):
    torch.manual_seed(0)
    current = (3 * torch.randn(6, 9, 11)).requires_grad_()
    target = 3 * torch.randn(6, 9, targets)
    quantile_huber_loss(current, target, sum_over_quantiles=True).backward()
    ours = quantile_huber_gradient(current.detach(), target, (torch.arange(11) + 0.5) / 11)
    torch.testing.assert_close(ours, current.grad, atol=1e-7, rtol=1e-5)


@pytest.mark.parametrize(("threshold", "error"), [(1.0, 0.05), (0.1, 0.005)])
def test_a_small_threshold_leads_to_the_quantiles_of_the_normal_law(threshold, error):
    draws = torch.from_numpy(stats.norm.ppf((np.arange(4000) + 0.5) / 4000).astype(np.float32))[None, None, :]
    levels, found = torch.tensor([0.05, 0.5, 0.95]), torch.zeros(1, 1, 3)
    for _ in range(3000):
        found -= 0.02 * quantile_huber_gradient(found, draws, levels, threshold)
    covered = stats.norm.cdf(found[0, 0].numpy())
    assert covered[1] == pytest.approx(0.5, abs=0.001)
    far = abs(covered[[0, 2]] - [0.05, 0.95])
    assert (far < error).all()


def test_forward_at_all_positions_equals_three_separate_ones():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.ReLU(), torch.nn.Linear(8, 4))
    market = torch.randn(10, 5)
    out = all_positions(net, market)
    for p, held in enumerate(POSITIONS):
        alone = net(torch.cat([market, torch.full((10, 1), float(held))], dim=1))
        torch.testing.assert_close(out[:, p], alone)


def lossy(width):
    """Two groups: the first column alone, and all others but the last."""
    touches = np.zeros((2, width), dtype=bool)
    touches[0, 0], touches[1, 1:-1] = True, True
    return GroupColumns(names=("a", "b"), touches=touches, neutral=np.linspace(-7, -5, width, dtype=np.float32))


def test_dropout_blanks_each_group_in_its_share_of_rows_to_its_neutral_values(short, terms):
    learned = experience(short, terms)
    groups = lossy(learned.obs.shape[1])
    buffer = replay(learned, groups=groups, dropout=0.3)
    place = {row[-1].tobytes(): t for t, row in enumerate(learned.obs)}
    assert len(place) == 400
    seen = np.zeros((0, 2), dtype=bool)
    for _ in range(40):
        found = buffer.outcomes(200)
        market, after = found.market.numpy(), found.next_market.numpy()
        rows = np.array([place[row[-1].tobytes()] for row in market])
        lost = np.stack([market[:, 0] == groups.neutral[0], market[:, 1] == groups.neutral[1]], axis=1)
        blank = lost @ groups.touches
        assert market.tobytes() == np.where(blank, groups.neutral, learned.obs[rows]).tobytes()
        assert after.tobytes() == np.where(blank, groups.neutral, learned.obs[rows + 1]).tobytes()
        expected = (learned.cents[rows] / learned.bar_cents).astype(np.float32)
        assert np.array_equal(found.reward.numpy(), expected)
        seen = np.concatenate([seen, lost])
    assert seen.mean(axis=0) == pytest.approx([0.3, 0.3], abs=0.02)
    assert (seen[:, 0] & seen[:, 1]).mean() == pytest.approx(0.09, abs=0.015)
    assert not np.shares_memory(found.market.numpy(), learned.obs)


def test_without_dropout_the_rows_and_their_order_are_those_without_groups(short, terms):
    learned = experience(short, terms)
    plain, off = replay(learned), replay(learned, groups=lossy(learned.obs.shape[1]), dropout=0.0)
    unasked = replay(learned, groups=None, dropout=0.5)
    for _ in range(5):
        expected, *others = (buffer.outcomes(150) for buffer in (plain, off, unasked))
        for found in others:
            assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


def test_what_is_lost_leaves_the_recorded_observations_alone(short, terms):
    learned = experience(short, terms)
    kept = learned.obs.copy()
    buffer = replay(learned, groups=lossy(learned.obs.shape[1]), dropout=0.9)
    for _ in range(5):
        buffer.sample(399)
    assert learned.obs.tobytes() == kept.tobytes()


def test_no_transition_crosses_a_seam_and_what_is_held_there_is_closed(short, terms):
    learned = experience(short.take(np.concatenate([np.arange(0, 130), np.arange(200, 400)])), terms)
    buffer = replay(learned)
    rows = np.sort(np.concatenate([buffer.draw(buffer.size()) for _ in range(2)]))
    assert np.unique(rows).tolist() == [*range(129), *range(130, 329)]
    # Row 129 is followed by what was row 200: the 70 bars between are nobody's gain.
    for p, held in enumerate(POSITIONS):
        assert learned.cents[129, p].tolist() == [-terms.side_cost_cents * abs(held)] * 3
        assert learned.held[129, p].tolist() == [POSITIONS.index(0)] * 3
    whole = experience(short, terms)
    for part, of in ((slice(0, 129), slice(0, 129)), (slice(130, 329), slice(200, 399))):
        assert np.array_equal(learned.cents[part], whole.cents[of])
        assert np.array_equal(learned.held[part], whole.held[of])
