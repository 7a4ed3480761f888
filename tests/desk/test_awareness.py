"""The policy's record of itself against a plain reading of its definition."""

import numpy as np
import pytest

from mia.desk import awareness
from mia.desk.awareness import INPUTS, Awareness, share_above_zero, silent
from mia.domain.errors import ArtefactMismatch
from mia.domain.rng import generator
from mia.domain.series import SELF

IN = {name: i for i, name in enumerate(INPUTS)}
OUT = {name.removeprefix("slf."): i for i, name in enumerate(SELF)}
QUANTILES = ("q05", "q25", "q50", "q75", "q95")


def random_inputs(rows, seed=1):
    """A sentinel that opens, holds, turns and closes at random, and is silent now and then."""
    rng = generator(seed, "awareness")
    x = np.full((rows, len(INPUTS)), np.nan)
    position = np.zeros(rows, dtype=int)
    for t in range(1, rows):
        position[t] = position[t - 1] if rng.random() < 0.55 else rng.integers(-1, 2)
    x[:, IN["position"]] = position
    x[:-1, IN["target"]], x[-1, IN["target"]] = position[1:], 0
    x[:, 1:4] = rng.dirichlet(np.ones(3), rows)
    x[:, 4:9] = np.sort(rng.normal(rng.normal(0, 60, rows)[:, None], 100, (rows, 5)), axis=1)
    x[:, IN["r"]] = rng.uniform(50, 90, rows)
    busy = (position != 0) | (np.concatenate([[0], position[:-1]]) != 0)
    x[:, IN["net"]] = np.where(busy, rng.integers(-200, 210, rows), 0)
    x[:, IN["carried"]] = np.where(busy, rng.integers(-100, 100, rows), 0)
    x[:, IN["equity"]] = np.cumsum(x[:, IN["net"]])
    x[:, IN["limit"]] = 5000
    x[:, IN["drift"]] = rng.uniform(0, 1, rows)
    voted = rng.random(rows) < 0.5
    x[voted, 9:12] = rng.dirichlet(np.ones(3), voted.sum())
    x[voted, 12:15] = rng.uniform(-1, 1, (voted.sum(), 3))
    x[rng.random(rows) < 0.02, 4:9] = np.nan
    for start in (0, 700):
        x[start : start + 20, : IN["drift"]] = np.nan
    return x


@pytest.fixture(scope="module")
def inputs():
    return random_inputs(4000)


@pytest.fixture(scope="module")
def told(inputs):
    self = Awareness()
    return self.advance(self.new_state(), inputs)


def plain_share(q):
    """Share above 0 by counting a fine grid of the piecewise uniform distribution; tails as half of their mass."""
    levels = np.array([0.05, 0.25, 0.5, 0.75, 0.95])
    if np.isnan(q).any():
        return np.nan
    if (q > 0).all():
        return 0.975
    if (q < 0).all():
        return 0.025
    fine = np.interp(np.linspace(0.05, 0.95, 200_001), levels, q)
    inner = ((fine > 0).mean() + 0.5 * (fine == 0).mean()) * 0.9
    low, high = 0.05 * ((q[0] > 0) + 0.5 * (q[0] == 0)), 0.05 * ((q[-1] > 0) + 0.5 * (q[-1] == 0))
    return inner + low + high


def plain_trades(x):
    """Closed trades by a second reading of the rules: (row closed, raw, told, net, R), told by `plain_success`."""
    closed, trade = [], None
    for t in range(len(x)):
        row, said = x[t], x[t - 1] if t else np.full(len(INPUTS), np.nan)
        if np.isnan(row[IN["position"]]) or np.isnan(row[IN["net"]]):
            trade = None
            continue
        side = np.sign(row[IN["position"]])
        net = row[IN["net"]]
        if trade and side == trade["side"]:
            trade["net"] += net
            continue
        if trade:
            mine = net if side == 0 else row[IN["carried"]]
            if not np.isnan(trade["raw"]) and trade["r"] > 0:
                closed.append((t, trade["raw"], trade["told"], trade["net"] + mine, trade["r"]))
            net -= mine
            trade = None
        if side != 0:
            raw = plain_raw(said)
            trade = {"side": side, "net": net, "r": said[IN["r"]], "raw": raw, "told": plain_success(raw, closed)}
    return closed


def plain_raw(said):
    q = said[4:9]
    if np.isnan(q).any():
        return said[1:4].max()
    if (q > 0).all() or (q < 0).all():
        return 0.975 if q[0] > 0 else 0.025
    return 1.0 - np.interp(0.0, q, [0.05, 0.25, 0.5, 0.75, 0.95])


def plain_success(raw, closed):
    if np.isnan(raw):
        return np.nan
    alike = [trade[3] > 0 for trade in closed[-500:] if min(9, int(trade[1] * 10)) == min(9, int(raw * 10))]
    return (sum(alike) + 20 * raw) / (len(alike) + 20)


def test_what_was_said_comes_one_bar_late_and_in_r(inputs, told):
    assert np.isnan(told[0, :14]).all()
    for k, name in enumerate(QUANTILES):
        np.testing.assert_array_equal(told[1:, OUT[name]], (inputs[:, 4 + k] / inputs[:, IN["r"]])[:-1])
    for k, name in enumerate(("p_short", "p_flat", "p_long")):
        np.testing.assert_array_equal(told[1:, OUT[name]], inputs[:-1, 1 + k])
    np.testing.assert_array_equal(told[1:, OUT["confidence"]], inputs[:-1, 1:4].max(axis=1))
    np.testing.assert_array_equal(told[:, OUT["drift"]], inputs[:, IN["drift"]])


def test_without_an_ensemble_the_weights_are_the_prior_and_nobody_disagrees(inputs, told):
    spoken, voted = ~np.isnan(inputs[:-1, 0]), ~np.isnan(inputs[:-1, 9])
    weights = told[1:, OUT["w_sac"] : OUT["w_ddpg"] + 1]
    np.testing.assert_array_equal(weights[voted & spoken], inputs[:-1, 9:12][voted & spoken])
    assert np.all(weights[spoken & ~voted] == [0.4, 0.3, 0.3])
    assert np.isnan(weights[~spoken]).all()
    apart = told[1:, OUT["disagreement"]]
    np.testing.assert_allclose(apart[voted & spoken], inputs[:-1, 12:15][voted & spoken].std(axis=1), rtol=1e-12)
    assert np.all(apart[spoken & ~voted] == 0.0)


@pytest.mark.parametrize(
    ("quantiles", "share"),
    [
        ((-2.0, -1.0, 1.0, 2.0, 3.0), 0.625),  # half way from 25 to 50 %
        ((1.0, 2.0, 3.0, 4.0, 5.0), 0.975),
        ((-5.0, -4.0, -3.0, -2.0, -1.0), 0.025),
        ((0.0, 0.0, 0.0, 0.0, 0.0), 0.5),  # a policy that abstains: nothing above, nothing below
        ((-1.0, 0.0, 0.0, 0.0, 1.0), 0.5),
        ((-3.0, -2.0, 0.0, 1.0, 2.0), 0.5),
        ((0.0, 1.0, 2.0, 3.0, 4.0), 0.975),
        ((-4.0, -3.0, -2.0, -1.0, 0.0), 0.025),
    ],
)
def test_the_share_above_zero_is_read_off_the_quantiles(quantiles, share):
    assert share_above_zero(np.array(quantiles)) == pytest.approx(share)
    # A single quantile at 0 is a point of no mass; the plain count may differ there by half a grid step.
    if sum(q == 0 for q in quantiles) != 1:
        assert plain_share(np.array(quantiles)) == pytest.approx(share, abs=2e-5)


def test_trades_success_sharpe_and_calibration_equal_a_plain_reading(inputs, told):
    closed = plain_trades(inputs)
    assert len(closed) > 600
    for t in [*range(1, 60), *range(60, len(inputs), 23)]:
        past = [trade for trade in closed if trade[0] <= t]
        raw = plain_raw(inputs[t - 1])
        if np.isnan(inputs[t - 1, 0]):
            assert np.isnan(told[t, OUT["success"]])
        else:
            assert told[t, OUT["success"]] == pytest.approx(plain_success(raw, past), rel=1e-9)
        if len(past) < 10:
            assert np.isnan(told[t, OUT["sharpe_20"]])
            assert np.isnan(told[t, OUT["calibration_error"]])
            continue
        results = np.array([trade[3] / trade[4] for trade in past[-20:]])
        assert told[t, OUT["sharpe_20"]] == pytest.approx(results.mean() / results.std(ddof=1), rel=1e-9)
        promised = np.array([trade[2] for trade in past[-500:]])
        won = np.array([trade[3] > 0 for trade in past[-500:]])
        bins = np.minimum(9, (promised * 10).astype(int))
        error = sum(
            (bins == b).mean() * abs(promised[bins == b].mean() - won[bins == b].mean()) for b in np.unique(bins)
        )
        assert told[t, OUT["calibration_error"]] == pytest.approx(error, rel=1e-9)


def test_cvar_is_the_mean_of_the_worst_25_of_the_last_500_steps(inputs, told):
    losses = -inputs[1:, IN["net"]] / inputs[:-1, IN["r"]]
    for t in range(1, len(inputs), 29):
        known = losses[:t][np.isfinite(losses[:t])]
        if len(known) < 500:
            assert np.isnan(told[t, OUT["cvar"]])
        else:
            assert told[t, OUT["cvar"]] == pytest.approx(np.sort(known[-500:])[-25:].mean(), rel=1e-12)
    assert np.isfinite(told[600, OUT["cvar"]])
    winner = inputs.copy()
    winner[:, IN["net"]] = 10.0
    assert np.all(Awareness().advance(Awareness().new_state(), winner)[600:, OUT["cvar"]] == 0.0)


def test_drawdown_is_the_fall_from_the_peak_over_the_limit(inputs, told):
    equity = inputs[:, IN["equity"]]
    seen = np.isfinite(equity)
    peak = np.fmax.accumulate(equity)
    np.testing.assert_array_equal(told[seen, OUT["drawdown"]], np.minimum(1, ((peak - equity) / 5000)[seen]))
    assert np.isnan(told[~seen, OUT["drawdown"]]).all()
    free = inputs.copy()
    free[:, IN["limit"]] = 0
    assert np.isnan(Awareness().advance(Awareness().new_state(), free)[:, OUT["drawdown"]]).all()


def test_success_learns_what_promises_are_worth():
    """A policy that promises 90 % and wins 30 % is believed less and less, and its error is told."""
    rng = generator(2, "boast")
    rows = 3000
    x = np.full((rows, len(INPUTS)), np.nan)
    x[:, IN["position"]] = np.arange(rows) % 2
    x[:, IN["target"]] = (np.arange(rows) + 1) % 2
    x[:, 1:4] = 1 / 3
    x[:, 4:9] = [-5, 5, 10, 20, 30]
    x[:, IN["r"]] = 50
    x[:, IN["net"]] = np.where(np.arange(rows) % 2 == 1, np.where(rng.random(rows) < 0.3, 60.0, -30.0), 0.0)
    x[:, IN["equity"]] = np.cumsum(x[:, IN["net"]])
    out = Awareness().advance(Awareness().new_state(), x)
    assert out[1, OUT["success"]] == pytest.approx(0.85)
    assert out[-1, OUT["success"]] == pytest.approx(0.3, abs=0.08)
    assert out[60, OUT["calibration_error"]] > 0.2
    # The error of the last 500, told when the promises had become true, is small.
    assert out[-1, OUT["calibration_error"]] < 0.1


def test_row_t_depends_on_decisions_before_t_and_money_up_to_t(inputs, told):
    said = [IN[name] for name in INPUTS if name not in ("position", "net", "carried", "equity", "limit", "drift")]
    for t in (5, 640, 701, 2500):
        wild = inputs[: t + 1].copy()
        wild[t, said] = generator(t, "wild").normal(0, 1000, len(said))
        out = Awareness().advance(Awareness().new_state(), wild)
        np.testing.assert_array_equal(out, told[: t + 1])
        # The decision of the row before is read: the test above can see.
        wild = inputs[: t + 1].copy()
        wild[t - 1, said] = 0.123
        out = Awareness().advance(Awareness().new_state(), wild)
        assert not np.array_equal(out[t], told[t], equal_nan=True)


@pytest.mark.parametrize("sizes", [(1,), (2, 900, 1)])
def test_any_cutting_of_the_rows_and_a_saved_state_give_the_same_bits(inputs, told, sizes, tmp_path):
    self, parts, a, i = Awareness(), [], 0, 0
    state = self.new_state()
    size = sum(array.nbytes for array in state.values())
    while a < len(inputs):
        b = min(len(inputs), a + sizes[i % len(sizes)])
        parts.append(self.advance(state, inputs[a:b]))
        a, i = b, i + 1
        if i == 3:
            np.savez(tmp_path / "state.npz", **state)
            with np.load(tmp_path / "state.npz") as saved:
                state = dict(saved)
    np.testing.assert_array_equal(np.concatenate(parts), told)
    assert sum(array.nbytes for array in state.values()) == size


def test_silence_is_nan_but_for_the_drift():
    out = Awareness().advance(Awareness().new_state(), silent(np.arange(700.0)))
    np.testing.assert_array_equal(out[:, OUT["drift"]], np.arange(700.0))
    assert np.isnan(np.delete(out, OUT["drift"], axis=1)).all()


def test_a_policy_that_never_trades_has_no_trades_to_judge():
    rows = np.zeros((700, len(INPUTS)))
    rows[:, 2], rows[:, IN["r"]], rows[:, IN["limit"]] = 1.0, 50.0, 1000.0
    out = Awareness().advance(Awareness().new_state(), rows)[-1]
    assert out[OUT["cvar"]] == 0.0
    assert out[OUT["drawdown"]] == 0.0
    assert out[OUT["success"]] == 0.5
    assert out[OUT["confidence"]] == 1.0
    assert np.isnan(out[[OUT["sharpe_20"], OUT["calibration_error"]]]).all()


def test_inputs_and_states_of_another_shape_are_refused(inputs):
    with pytest.raises(ArtefactMismatch, match="reads 22 inputs"):
        Awareness().advance(Awareness().new_state(), inputs[:, :5])
    state = Awareness().new_state() | {"losses": np.zeros(3)}
    with pytest.raises(ArtefactMismatch, match="losses"):
        Awareness().advance(state, inputs)
    assert awareness.TAIL == 0.05 * awareness.STEPS
