import numpy as np
import pandas as pd
import pytest
from flow_runner import run_operator, sessions_of
from numba import njit
from scipy import stats

from mia.domain.rng import generator
from mia.features.operators.flow_vpin import student_cdf

LOG6 = np.log(6)


@pytest.fixture
def rng():
    return generator(5, "tests", "flow")


def close_to(got, want, tolerance=1e-10):
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance, equal_nan=True)


def test_imbalance_equals_rolling_sums_of_pandas(rng):
    a, b = rng.integers(0, 9, 300).astype(float), rng.integers(0, 9, 300).astype(float)
    A, B = pd.Series(a).rolling(5).sum(), pd.Series(b).rolling(5).sum()
    close_to(run_operator("imbalance", a, b, sum_n=5), ((A - B) / (A + B)).to_numpy())


def test_imbalance_of_two_zeros_is_zero_and_of_a_missing_value_is_missing():
    got = run_operator("imbalance", [0.0, np.nan, 3.0], [0.0, 1.0, 1.0])
    close_to(got, [0.0, np.nan, 0.5])


def test_imbalance_is_back_after_n_clean_bars():
    a = np.array([1.0, 1, 1, np.nan, 1, 1, 1])
    got = run_operator("imbalance", a, np.zeros(7), sum_n=3)
    assert list(np.isnan(got)) == [True, True, False, True, True, True, False]


def test_book_imbalance_weighs_deeper_levels_less():
    w = np.exp(-0.5)
    want = ((10 - 5) + w * (8 - 12)) / (15 + w * 20)
    close_to(run_operator("level_imbalance", [10.0], [8.0], [5.0], [12.0], decay=0.5), [want])


def test_empty_deep_level_counts_as_no_size_and_empty_best_level_as_missing():
    got = run_operator("level_imbalance", [10.0, np.nan], [np.nan, 8.0], [5.0, 5.0], [5.0, 5.0])
    close_to(got, [0.0, np.nan])


def ofi_argument(flows, depths, n):
    weights = np.exp(-0.5 * np.arange(len(flows)))
    top = pd.Series(weights @ flows).rolling(n).sum()
    return (top / pd.Series(weights @ depths).rolling(n).mean()).to_numpy()


@pytest.mark.parametrize("n", [1, 5])
def test_ofi_puts_the_95th_percentile_of_prior_sessions_at_nine_tenths(rng, n):
    flows, depths = rng.normal(0, 300, (5, 900)), rng.uniform(50, 200, (5, 900))
    session, _ = sessions_of(900, 300)
    got = run_operator("ofi_norm", *flows, *depths, session, np.nan, n=n)
    argument = ofi_argument(flows, depths, n)
    for day in (1, 2):
        scale = np.quantile(np.abs(argument[n - 1 : 300 * day]), 0.95) / np.arctanh(0.9)
        today = slice(300 * day, 300 * (day + 1))
        close_to(np.arctanh(got[today]), argument[today] / scale, 0.02)


def test_ofi_uses_the_declared_scale_first_and_todays_own_from_bar_thirty(rng):
    flow = rng.normal(0, 500, 60)
    got = run_operator("ofi_norm", flow, 100.0, 0.0, np.nan, fallback=4.0)
    close_to(got[:30], np.tanh(flow[:30] / 100 / (4.0 / np.arctanh(0.9))))
    scale = np.quantile(np.abs(flow[:59] / 100), 0.95) / np.arctanh(0.9)
    close_to(np.arctanh(got[59]), flow[59] / 100 / scale, 0.15)


def test_ofi_takes_the_delta_ratio_where_depth_is_missing_only_if_told():
    flow = [5.0, np.nan]
    assert run_operator("ofi_norm", flow, 10.0, 0.0, 0.4, substitute=1)[1] == 0.4
    assert np.isnan(run_operator("ofi_norm", flow, 10.0, 0.0, 0.4)[1])


def test_integrated_ofi_is_the_weighted_sum_over_common_depth():
    got = run_operator("ofi_integrated", [30.0], [-10.0], [5.0], [15.0], fitted=[0.75, 0.25])
    close_to(got, [(0.75 * 30 - 0.25 * 10) / 10])
    assert np.isnan(run_operator("ofi_integrated", [30.0], [-10.0], [5.0], [15.0]))


def test_weighted_mid_leans_to_the_thinner_side():
    got = run_operator("microprice", [100.0], [101.0], [10.0], [30.0])
    close_to(got, [(101 * 10 + 100 * 30) / 40 - 100.5])


def test_microprice_table_is_read_by_spread_row_and_imbalance_column():
    table = np.arange(40.0)
    bid_size = [0.0, 5.0, 10.0, 9.99]
    got = run_operator("microprice_table", 100.0, [101.0, 101, 103, 120], bid_size, [10.0, 5, 0, 0.01], fitted=table)
    close_to(got, [0, 5, 29, 39])


def test_book_slope_equals_polyfit(rng):
    price = 100.0 - np.cumsum(rng.integers(1, 3, (10, 20)), axis=0)
    size = rng.integers(1, 200, (10, 20)).astype(float)
    got = run_operator("book_slope", *price, *size)
    want = [np.polyfit(price[0, t] - price[:, t], np.log(np.cumsum(size[:, t])), 1)[0] for t in range(20)]
    close_to(got, want)


def test_book_slope_needs_three_levels():
    assert np.isnan(run_operator("book_slope", [100.0], [99.0], [np.nan], [5.0], [5.0], [np.nan]))


def test_absorption_is_the_missing_share_of_the_expected_move_times_unusual_volume():
    delta, mid = [0.0, 100, 100, 100, 0], [50.0, 50, 50.5, 51, 51]
    impact, unusual = [0.02, 0.02, 0.02, 0.5, 0.02], [2.0, 2, 2, 2, -1]
    got = run_operator("absorption", delta, mid, impact, unusual, side="ask", n=3)
    # Expected with the previous bar's impact: 0.02 x 300 = 6 ticks, seen 1, so 5/6 are absorbed.
    close_to(got, [np.nan, np.nan, np.nan, 5 / 6 * 2, 0.0])
    mirrored = run_operator("absorption", -np.array(delta), 100 - np.array(mid), impact, unusual, side="bid", n=3)
    close_to(mirrored, got)


def test_divergence_is_the_difference_of_percent_ranks(rng):
    price, flow = rng.integers(0, 30, 100).astype(float), rng.integers(0, 30, 100).astype(float)
    session, _ = sessions_of(100, 50)
    got = run_operator("divergence", price, flow, session, n=20)

    def rank(x):
        return (stats.rankdata(x)[-1] - 1) / (len(x) - 1)

    for t in range(100):
        if t % 50 < 19:
            assert np.isnan(got[t])
        else:
            close_to(got[t], rank(flow[t - 19 : t + 1]) - rank(price[t - 19 : t + 1]))


def test_short_stacks_do_not_count():
    close_to(run_operator("stacked_imbalance", [0.0, 2, 3, 7, np.nan]), [0, 0, 3, 7, np.nan])


def test_entropy_of_trade_sizes_equals_scipy(rng):
    counts = rng.integers(0, 20, (6, 40)).astype(float)
    close_to(run_operator("entropy", *counts), stats.entropy(counts))
    close_to(run_operator("entropy", *np.ones((6, 1))), [LOG6])
    assert np.isnan(run_operator("entropy", *np.zeros((6, 1))))


def test_composite_negates_named_inputs_and_squashes():
    close_to(run_operator("composite", [1.0], [4.0], negate=2, squash="tanh"), np.tanh([-1.5]))
    close_to(run_operator("composite", [1.0], [4.0], squash="logistic"), [1 / (1 + np.exp(-2.5))])
    close_to(run_operator("composite", [1.0, np.nan], [np.nan, np.nan], min_present=1), [1.0, np.nan])
    assert np.isnan(run_operator("composite", [1.0], [np.nan]))


def test_total_is_missing_when_a_part_is():
    close_to(run_operator("total", [1.0, 2.0], [3.0, np.nan]), [4.0, np.nan])


def test_hawkes_intensity_is_base_times_diurnal_factor_plus_memory():
    factor = np.linspace(0.5, 2, 48)
    block = np.concatenate([[0.7, 0.02], factor])
    got = run_operator("hawkes", [0.0, 50.0, 50.0], [1.0, 120.0, 61.0], fitted=block)
    close_to(got, 0.7 * factor[[0, 47, 24]] + 0.02 * np.array([0, 50, 50]))


def test_price_change_over_a_session_gap_is_zero():
    got = run_operator("session_diff", [10.0, 12, 50, np.nan, 51, 52], [1.0, 0, 1, 0, 0, 0])
    close_to(got, [0, 2, 0, np.nan, np.nan, 1])


def var_oracle(r, x, lags, steps):
    """Response by ordinary least squares and plain simulation, equation by equation."""
    T = len(r)
    past = [np.concatenate([[1.0], r[t - lags : t][::-1], x[t - lags : t][::-1]]) for t in range(lags, T)]
    X = np.array(past)
    cx = np.linalg.lstsq(X, x[lags:], rcond=None)[0]
    cr = np.linalg.lstsq(np.column_stack([X, x[lags:]]), r[lags:], rcond=None)[0]
    R, F = np.zeros(lags + steps + 1), np.zeros(lags + steps + 1)
    for h in range(lags, lags + steps + 1):
        before = np.concatenate([R[h - lags : h][::-1], F[h - lags : h][::-1]])
        F[h] = 1.0 if h == lags else before @ cx[1:]
        R[h] = before @ cr[1:-1] + cr[-1] * F[h]
    return R.sum()


def test_impulse_response_equals_equation_by_equation_least_squares(rng):
    x = np.round(rng.normal(0, 80, 400))
    r = np.round(2 * (0.02 * x + rng.normal(0, 2, 400))) / 2
    got = run_operator("var_impulse", r, x, n=120)
    assert np.isnan(got[:124]).all()
    for t in (124, 125, 200, 399):
        close_to(got[t], var_oracle(r[t - 124 : t + 1], x[t - 124 : t + 1], 5, 10), 1e-7)


def test_impulse_response_of_a_dead_market_is_missing():
    assert np.isnan(run_operator("var_impulse", np.zeros(200), np.zeros(200), n=120)).all()


def test_amihud_is_mean_absolute_return_per_billion_dollars(rng):
    close, volume = 20000 + rng.integers(-50, 50, 200).cumsum(), rng.integers(0, 500, 200).astype(float)
    _, first = sessions_of(200, 90)
    price = pd.Series(close * 0.25)
    ratio = (np.log(price).diff().abs() / (volume * price * 50)).where((volume > 0) & (first == 0))
    want = ratio.iloc[1:].rolling(60, min_periods=1).mean() * 1e9
    got = run_operator("amihud", close, volume, first, n=60)
    close_to(got[60:], want.to_numpy()[59:])
    assert np.isnan(got[:60]).all()


def test_roll_spread_equals_numpy_covariance_and_is_zero_for_trends(rng):
    change = rng.integers(-5, 6, 300).astype(float)
    got = run_operator("roll_spread", change, n=60)
    assert np.isnan(got[:60]).all()
    for t in range(60, 300):
        c = np.cov(change[t - 59 : t + 1], change[t - 60 : t])[0, 1]
        close_to(got[t], 2 * np.sqrt(max(0.0, -c)), 1e-9)
    assert run_operator("roll_spread", np.repeat([1.0, -1.0], 31), n=60)[-1] == 0.0
    bounce = run_operator("roll_spread", np.tile([1.0, -1.0], 40), n=60)[-1]
    close_to(bounce, 2 * np.sqrt(60 / 59))


def corwin_schultz_oracle(high, low):
    k = 3 - 2 * np.sqrt(2)
    beta = np.log(max(high[:5]) / min(low[:5])) ** 2 + np.log(max(high[5:]) / min(low[5:])) ** 2
    gamma = np.log(max(high) / min(low)) ** 2
    alpha = (np.sqrt(2 * beta) - np.sqrt(beta)) / k - np.sqrt(gamma / k)
    return max(0.0, 2 * (np.exp(alpha) - 1) / (1 + np.exp(alpha)))


def test_corwin_schultz_averages_adjacent_five_bar_blocks(rng):
    low = 20000 + np.round(rng.normal(0, 6, 80))
    high = low + rng.integers(0, 12, 80)
    got = run_operator("corwin_schultz", high, low, n=20)
    assert np.isnan(got[:28]).all()
    for t in (28, 29, 60, 79):
        blocks = [corwin_schultz_oracle(high[e - 9 : e + 1], low[e - 9 : e + 1]) for e in range(t - 19, t + 1)]
        close_to(got[t], np.mean(blocks))


@njit
def compiled_student_cdf(t, dof):
    return student_cdf(t, dof)


@pytest.mark.parametrize("dof", [0.25, 1.0, 7.0])
def test_student_distribution_equals_scipy(dof):
    for t in (-1e6, -40.0, -1.3, -1e-4, 0.0, 0.2, 2.0, 1e4):
        assert compiled_student_cdf(t, dof) == pytest.approx(stats.t.cdf(t, dof), abs=1e-12)


def vpin_oracle(close, volume, length, buckets, least):
    """Every contract of a bar carries the bar's bought share into the bucket it falls in."""
    answer, totals, squares, filled, bucket, bought = [], [], [], [], 0.0, 0.0
    for t in range(len(close)):
        if t % length == 0 and t > 0:
            day = slice(t - length, t)
            totals.append(volume[day].sum())
            squares.append(np.diff(close[day]))
        if not totals:
            answer.append(np.nan)
            continue
        target, sigma = np.mean(totals) / buckets, np.sqrt(np.mean(np.concatenate(squares) ** 2))
        change = close[t] - close[t - 1] if t % length else 0.0
        share = stats.t.cdf(change / sigma, 0.25)
        rest = volume[t]
        while bucket + rest >= target:
            bought += (target - bucket) * share
            rest -= target - bucket
            filled.append(abs(2 * bought - target) / target)
            bucket, bought = 0.0, 0.0
        bucket, bought = bucket + rest, bought + rest * share
        answer.append(np.mean(filled[-buckets:]) if len(filled) >= least else np.nan)
    return answer


def test_vpin_equals_a_plain_bucket_walk(rng):
    close = np.cumsum(rng.integers(-6, 7, 400)).astype(float)
    volume = np.round(rng.lognormal(4, 1, 400))
    session, first = sessions_of(400, 100)
    got = run_operator("vpin", close, volume, session, first, buckets=20, least=5)
    close_to(got, vpin_oracle(close, volume, 100, 20, 5), 1e-9)


def test_vpin_of_one_sided_markets_is_near_one_and_of_still_ones_zero():
    session, first = sessions_of(300, 100)
    still = run_operator("vpin", np.ones(300), np.ones(300), session, first, buckets=10)
    assert still[-1] == 0.0
    # Fat tails: 0.25 degrees of freedom call even a 100-sigma move only 84 % bought.
    change = np.where(np.arange(300) < 100, np.resize([1.0, -1.0], 300), 1e6)
    rising = run_operator("vpin", np.cumsum(change), np.ones(300), session, first, buckets=10, sessions=1)
    assert rising[199] == pytest.approx(2 * stats.t.cdf(1e6, 0.25) - 1, abs=0.1)


def test_vpin_survives_a_bar_that_overfills_every_bucket():
    session, first = sessions_of(200, 100)
    volume = np.ones(200)
    volume[150] = 1e12
    got = run_operator("vpin", np.cumsum(np.resize([1.0, -1.0, 2.0], 200)), volume, session, first, buckets=10)
    assert np.isfinite(got[150:]).all()
    assert (got[150:] <= 1).all()


def test_vpin_ignores_a_session_whose_beginning_was_not_seen():
    session, first = sessions_of(250, 100)
    close, volume = np.cumsum(np.resize([1.0, -1.0, 2.0, -1.0], 250)), np.ones(250)
    got = run_operator("vpin", close[50:], volume[50:], session[50:], first[50:], buckets=10, least=1)
    assert np.isnan(got[:150]).all()
    assert np.isfinite(got[-1])


def test_empirical_distribution_counts_prior_sessions_strictly_below(rng):
    value = rng.random(600)
    session, _ = sessions_of(600, 100)
    got = run_operator("session_cdf", value, session, sessions=2, bins=512)
    assert np.isnan(got[:100]).all()
    for t in (100, 199, 250, 350, 599):
        start = t // 100 * 100
        past = value[max(0, start - 200) : start]
        assert got[t] == pytest.approx(np.mean(past < value[t]), abs=0.02)


def test_usual_zero_evidence_scores_zero():
    session, _ = sessions_of(40, 20)
    value = np.where(np.arange(40) % 10 == 9, 0.5, 0.0)
    got = run_operator("session_cdf", value, session, sessions=1)
    assert got[25] == 0.0
    assert got[29] == pytest.approx(0.9)


def test_spoofing_evidence_needs_fled_liquidity_and_opposite_trades():
    quiet = run_operator("spoofing", 100.0, 100.0, 0.0, 0.0, 50.0, 50.0, [0.0] * 5, n=5)
    assert quiet[-1] == 0.0
    got = run_operator("spoofing", 100.0, 100.0, [0.0, 0, 0, 0, 200], [0.0, 0, 0, 0, 100], 30.0, 70.0, [0.0] * 5, n=5)
    bid, ask = 200 / 500 * 0.7, 100 / 500 * 0.3
    close_to(got[-1], 1 - (1 - bid) * (1 - ask))
    assert np.isnan(got[:4]).all()
    assert run_operator("spoofing", 100.0, 100.0, 500.0, 0.0, 30.0, 0.0, [0.0] * 5, n=5)[-1] == 0.0


def test_spoofing_weighs_size_against_the_prior_sessions_median():
    session = np.repeat([0.0, 1.0], 20)
    fled = np.where(session == 0, 400.0, 40.0)
    got = run_operator("spoofing", 4000.0, 100.0, fled, 0.0, 0.0, 50.0, session, n=1)
    close_to(got[19], 0.1)
    close_to(got[39], 0.01 * 40 / 400, 0.15)
