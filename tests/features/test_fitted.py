from dataclasses import replace

import numpy as np
import pytest
from flow_runner import run_operator
from synthetic_rows import MARKET, SESSION_MINUTES, synthetic_rows

from mia.domain.errors import ArtefactMismatch
from mia.domain.rng import generator
from mia.domain.series import INDEX
from mia.features.catalogue import expand
from mia.features.engine import FeatureEngine
from mia.features.fitted import FittedParameters, fit
from mia.features.fitted.hawkes import DECAY, most_likely
from mia.features.fitted.microprice import table_from_steps
from mia.features.plan import compile_plan

SPECS = {
    "order_flow": {
        "ofi_integrated": {"op": "ofi_integrated", "in": ["dom.ofi_1..10", "dom.depth_tw_1..10"]},
        "microprice_stoikov_adj": {
            "op": "microprice_table",
            "in": ["dom.bid_px_1", "dom.ask_px_1", "dom.bid_sz_1", "dom.ask_sz_1"],
        },
        "hawkes_intensity": {"op": "hawkes", "in": ["trd.hawkes_all", "cal.minute"]},
        "delta_volume": {"op": "sub", "in": ["trd.buy_volume", "trd.sell_volume"]},
        "max_size": {"op": "take", "in": "trd.max_size", "norm": "logz"},
        "range_ticks": {"op": "sub", "in": ["bar.high", "bar.low"], "scale": "tick"},
    },
    "context_aware": {"event_volatility_impact": {"op": "event_profile", "in": ["cal.event_code", "cal.event_lag"]}},
    "volatility": {
        f"har_{name}": {"op": "har", "in": ["bar.open", "bar.close", "cal.session"], "p": {"days": days}}
        for name, days in (("daily", 1), ("weekly", 5), ("monthly", 22))
    }
    | {
        "har_forecast": {
            "op": "har",
            "in": ["bar.open", "bar.close", "cal.session"],
            "p": {"out": "forecast"},
        }
    },
    "latent_factors": {
        f"pca_orderflow_{k}": {"op": "pca_score", "in": "family:order_flow/depth", "p": {"component": k}}
        for k in (1, 2)
    },
}
REST = {"unit": "1", "range": [None, None], "warm": 1, "norm": "none", "src": "test"}


@pytest.fixture(scope="module")
def plan():
    groups = {
        family: {"family": family, "specs": {name: REST | line for name, line in lines.items()}}
        for family, lines in SPECS.items()
    }
    return compile_plan(expand(groups), MARKET, bar_minutes=1, session_minutes=SESSION_MINUTES)


@pytest.fixture(scope="module")
def values():
    return synthetic_rows(42)


@pytest.fixture(scope="module")
def features(plan, values):
    return FeatureEngine(plan).batch(values)


@pytest.fixture(scope="module")
def fitted(plan, values, features):
    return fit(plan, values, features, slice(0, 4800))


def column(plan, table, name):
    return table[:, plan.columns.index(name)]


def test_everything_is_fitted_where_history_suffices_and_missing_before(plan, values, features, fitted):
    assert fitted.unavailable == {}
    assert set(fitted.params) == set(plan.fitted_nodes)
    for name in plan.fitted_nodes:
        assert np.isnan(column(plan, features, name)).all()
    after = FeatureEngine(plan.with_parameters(fitted.params)).batch(values)
    for name in plan.fitted_nodes:
        assert np.isfinite(column(plan, after, name)[-100:]).all(), name


def test_changing_any_later_row_leaves_the_fit_bit_identical(plan, values, features, fitted):
    spoilt_values, spoilt_features = values.copy(), features.copy()
    spoilt_values[4800:] *= -1000
    spoilt_features[4800:] = np.nan
    again = fit(plan, spoilt_values, spoilt_features, slice(0, 4800))
    assert again.to_json() == fitted.to_json()


def test_rows_outside_the_training_rows_do_not_matter_either(plan, values, features):
    train = np.zeros(len(values), dtype=bool)
    train[:1200] = True
    train[2400:4800] = True
    one = fit(plan, values, features, train)
    spoilt, spoilt_features = values.copy(), features.copy()
    spoilt[1200:2400, INDEX["bar.close"]] = 1.0
    spoilt[1200:2400, INDEX["trd.n"]] = 9e9
    spoilt[1200:2400, INDEX["dom.ofi_1"]] = 9e9
    spoilt_features[1200:2400] = 123.0
    assert fit(plan, spoilt, spoilt_features, train).to_json() == one.to_json()
    assert fit(plan, values, features, np.flatnonzero(train)).to_json() == one.to_json()


def test_json_gives_back_every_bit(fitted):
    back = FittedParameters.from_json(fitted.to_json())
    assert back.fit_end == 4799
    assert back.fit_rows == 4800
    for name, block in fitted.params.items():
        assert back.params[name].tobytes() == block.tobytes()
    with pytest.raises(ArtefactMismatch, match="refit"):
        FittedParameters.from_json("[1, 2]")


def test_a_short_fold_leaves_features_missing_and_says_why(plan, values, features):
    short = fit(plan, values, features, slice(0, 300))
    assert "har_forecast" in short.unavailable
    assert "needs" in short.unavailable["microprice_stoikov_adj"]
    week = fit(plan, values, features, slice(0, 25 * SESSION_MINUTES))
    assert set(week.unavailable) == {"har_forecast"}
    after = FeatureEngine(plan.with_parameters(week.params)).batch(values)
    assert np.isnan(column(plan, after, "har_forecast")).all()


def test_no_training_rows_fit_nothing(plan, values, features):
    empty = fit(plan, values, features, slice(0, 0))
    assert empty.params == {}
    assert empty.fit_end == -1
    assert set(empty.unavailable) == set(plan.fitted_nodes)


def test_integrated_weights_are_the_first_component_with_l1_norm_one(values, fitted):
    flow = values[:4800, [INDEX[f"dom.ofi_{k}"] for k in range(1, 11)]]
    depth = values[:4800, [INDEX[f"dom.depth_tw_{k}"] for k in range(1, 11)]].mean(axis=1)
    X = flow / depth[:, None]
    _, _, vt = np.linalg.svd(X - X.mean(axis=0), full_matrices=False)
    want = vt[0] / np.abs(vt[0]).sum() * np.sign(vt[0].sum())
    np.testing.assert_allclose(fitted.params["ofi_integrated"], want, rtol=1e-8)
    assert np.abs(fitted.params["ofi_integrated"]).sum() == pytest.approx(1)


def test_component_scores_are_white_on_the_training_rows(plan, values, fitted):
    after = FeatureEngine(plan.with_parameters(fitted.params)).batch(values)[:4800]
    one, two = column(plan, after, "pca_orderflow_1"), column(plan, after, "pca_orderflow_2")
    # The scores clip at six deviations, which almost never binds.
    assert one.mean() == pytest.approx(0, abs=1e-9)
    assert one.std(ddof=1) == pytest.approx(1, rel=1e-9)
    assert two.std(ddof=1) == pytest.approx(1, rel=1e-9)
    assert np.corrcoef(one, two)[0, 1] == pytest.approx(0, abs=1e-9)
    weights = fitted.params["pca_orderflow_1"][4::4]
    assert weights[np.argmax(np.abs(weights))] > 0
    members = plan.node("pca_orderflow_1").inputs
    left_out = {name for name, weight in zip(members, weights, strict=True) if weight == 0}
    assert left_out == {"ofi_integrated", "microprice_stoikov_adj", "hawkes_intensity"}


def test_component_score_equals_a_plain_decomposition(plan, values, features, fitted):
    names = ["delta_volume", "max_size", "range_ticks"]
    X = np.stack([column(plan, features, name)[:4800] for name in names], axis=1)
    X[:, 1] = np.log1p(X[:, 1])
    median = np.median(X, axis=0)
    Z = np.clip((X - median) / (1.4826022185056018 * np.median(np.abs(X - median), axis=0)), -5, 5)
    u, _, vt = np.linalg.svd(Z - Z.mean(axis=0), full_matrices=False)
    want = u[:, 0] * np.sqrt(4799) * np.sign(vt[0][np.argmax(np.abs(vt[0]))])
    got = column(plan, FeatureEngine(plan.with_parameters(fitted.params)).batch(values), "pca_orderflow_1")[:4800]
    np.testing.assert_allclose(got, np.clip(want, -6, 6), atol=1e-8)


def test_microprice_table_equals_the_solved_two_state_chain():
    # Two mirrored states: stay quiet 0.5 (same), flip quietly 0.2, move 0.3 by +1 from state 1, -1 from 0.
    steps = [(1, 1, 0)] * 5 + [(1, 0, 0)] * 2 + [(1, 1, 1)] * 2 + [(1, 0, 1)]
    steps += [(0, 0, 0)] * 5 + [(0, 1, 0)] * 2 + [(0, 0, -1)] * 2 + [(0, 1, -1)]
    before, after, move = (np.array(part) for part in zip(*steps, strict=True))
    # By symmetry g(1) = -g(0): g = 0.3 + (0.5 - 0.2) g, and each further term shrinks by (0.2 - 0.1) / 0.7.
    first, shrink = 0.3 / 0.7, 0.1 / 0.7
    want = first * sum(shrink**k for k in range(6))
    np.testing.assert_allclose(table_from_steps(before, after, move.astype(float), 2), [-want, want], rtol=1e-6)


def test_microprice_table_is_antisymmetric_and_zero_where_nothing_was_seen(fitted):
    table = fitted.params["microprice_stoikov_adj"].reshape(4, 10)
    np.testing.assert_allclose(table, -table[:, ::-1], atol=1e-12)
    assert np.abs(table).max() <= 1
    assert np.abs(table[0]).max() > 0


def test_microprice_leans_up_where_a_heavy_bid_is_followed_by_rises(plan, values, features):
    pulled = values.copy()
    heavy = pulled[:, INDEX["dom.bid_sz_1"]] > pulled[:, INDEX["dom.ask_sz_1"]]
    move = np.where(heavy, 1.0, -1.0) * (generator(9, "tests", "lean").random(len(values)) < 0.4)
    pulled[:, INDEX["dom.bid_px_1"]] = 20000 + np.concatenate([[0.0], np.cumsum(move)[:-1]])
    pulled[:, INDEX["dom.ask_px_1"]] = pulled[:, INDEX["dom.bid_px_1"]] + 1
    table = fit(plan, pulled, features, slice(0, 4800)).params["microprice_stoikov_adj"].reshape(4, 10)
    # Sizes are drawn anew each bar, so a step is worth 0.4 ticks towards the heavy side; what comes after it
    # adds nothing on average.
    np.testing.assert_allclose(table[0, 6:], 0.4, atol=0.12)
    np.testing.assert_allclose(table[0, :4], -0.4, atol=0.12)


def test_rarely_seen_book_states_keep_no_adjustment(plan, values, features):
    from mia.features.fitted.microprice import MIN_VISITS

    wide = values.copy()
    rare = np.arange(100, 100 + 20 * SESSION_MINUTES, SESSION_MINUTES)
    wide[:, INDEX["dom.ask_px_1"]] = wide[:, INDEX["dom.bid_px_1"]] + 1
    wide[rare, INDEX["dom.ask_px_1"]] += 3
    assert len(rare) < MIN_VISITS / 2
    table = fit(plan, wide, features, slice(0, 4800)).params["microprice_stoikov_adj"].reshape(4, 10)
    assert (table[1:] == 0).all()
    assert np.abs(table[0]).max() > 0


def simulate_hawkes(rng, mu, alpha, bars):
    """Thinning over `bars` minutes; returns count per minute and decayed sum at each minute's end."""
    count, memory = np.zeros(bars), np.zeros(bars)
    t, level = 0.0, 0.0
    for bar in range(bars):
        end = 60.0 * (bar + 1)
        while True:
            bound = mu + alpha * level
            wait = rng.exponential(1 / bound)
            if t + wait > end:
                level *= np.exp(-DECAY * (end - t))
                t = end
                break
            t += wait
            level *= np.exp(-DECAY * wait)
            if rng.random() * bound < mu + alpha * level:
                count[bar] += 1
                level += 1
        memory[bar] = level
    return count, memory


def test_hawkes_fit_recovers_a_simulated_process():
    rng = generator(2, "tests", "hawkes")
    mu, alpha = 0.5, 0.6 * DECAY
    count, memory = simulate_hawkes(rng, mu, alpha, 4000)
    ones = np.ones(3999)
    got_mu, got_alpha = most_likely(count[1:], memory[:-1], ones, 60 * ones)
    assert got_mu == pytest.approx(mu, rel=0.15)
    assert got_alpha == pytest.approx(alpha, rel=0.1)


def test_hawkes_fit_of_a_poisson_process_has_no_feedback():
    rng = generator(3, "tests", "poisson")
    count, memory = simulate_hawkes(rng, 1.5, 0.0, 3000)
    ones = np.ones(2999)
    got_mu, got_alpha = most_likely(count[1:], memory[:-1], ones, 60 * ones)
    assert got_alpha < 0.12 * DECAY
    assert got_mu == pytest.approx(1.5, rel=0.12)


def test_event_multiples_find_the_larger_moves_and_leave_unseen_events_at_one(plan, values, features):
    spoilt = values.copy()
    close, code = INDEX["bar.close"], values[:, INDEX["cal.event_code"]]
    rng = generator(4, "tests", "events")
    move = np.where(rng.random(len(values)) < 0.5, 2.0, -2.0) * np.where(code == 2, 3.0, 1.0)
    spoilt[:, close] = 20000 + np.cumsum(move)
    table = fit(plan, spoilt, features, slice(0, 4800)).params["event_volatility_impact"].reshape(16, -1)
    # 3 seen times of 3 and five rows' weight of 1: (3 n + 5) / (n + 5); code 2 came in 3 of 40 sessions.
    np.testing.assert_allclose(table[1, 15:70], (3 * 3 + 5) / (3 + 5), rtol=0.02)
    np.testing.assert_allclose(table[0, 15:70], 1, rtol=0.02)
    assert (table[3:] == 1).all()


def test_har_recovers_planted_coefficients():
    from mia.features.fitted.fold import Fold
    from mia.features.fitted.har import har_coefficients

    rng = generator(6, "tests", "har")
    truth, days = np.array([-1.0, 0.4, 0.3, 0.2]), 400
    log_rv = np.zeros(days)
    for k in range(22, days):
        day, week, month = log_rv[k - 1], log_rv[k - 5 : k].mean(), log_rv[k - 22 : k].mean()
        log_rv[k] = truth @ [1, day, week, month] + 0.1 * rng.normal()

    class Planted(Fold):
        def column(self, name):
            width = {"har_daily": 1, "har_weekly": 5, "har_monthly": 22}[name]
            averages = [log_rv[k - width : k].mean() if k >= width else np.nan for k in range(days)]
            return np.repeat(averages, 3)

    table = np.full((3 * days, len(INDEX)), np.nan)
    table[:, INDEX["cal.session"]] = np.repeat(np.arange(days), 3)
    fold = Planted(plan=None, values=table, features=table, train=np.ones(3 * days, dtype=bool))
    got = har_coefficients(None, fold)
    np.testing.assert_allclose(got[1:4].sum(), truth[1:].sum(), atol=0.1)
    np.testing.assert_allclose(got[1:4], truth[1:], atol=0.2)
    assert got[4] == pytest.approx(0.01, rel=0.2)


def test_har_forecast_uses_the_block_in_its_order(plan, values, fitted):
    after = FeatureEngine(plan.with_parameters(fitted.params)).batch(values)
    t = 40 * SESSION_MINUTES
    known = np.array([1.0, *(column(plan, after, f"har_{name}")[t] for name in ("daily", "weekly", "monthly"))])
    block = fitted.params["har_forecast"]
    want = np.sqrt(252 * np.exp(known @ block[:4] + 0.5 * block[4]))
    assert column(plan, after, "har_forecast")[t] == pytest.approx(want, rel=1e-12)


def test_wrong_block_length_is_refused(plan, fitted):
    from mia.domain.errors import ConfigurationError

    with pytest.raises(ConfigurationError, match="refit"):
        plan.with_parameters({"ofi_integrated": np.ones(3)})
    assert replace(fitted, fit_end=7).fit_end == 7


def test_unfitted_hawkes_is_missing():
    assert np.isnan(run_operator("hawkes", [1.0], [1.0])).all()
