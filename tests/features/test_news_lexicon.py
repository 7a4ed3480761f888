"""The lexicon: directions of measures, negation, figures compared; and how often it is right on labelled sentences."""

import numpy as np
import pandas as pd
import pytest

from mia.domain.rng import generator
from mia.features.news import lexicon, words

SAYS = 0.2  # scores beyond this say something


@pytest.mark.parametrize(
    "headline",
    [
        "Operating profit rose to EUR 5.1 mn from EUR 4.2 mn",
        "Loss narrowed in the third quarter",
        "The company cut its costs",
        "Pretax profit totalled EUR 6.0 mn, compared to EUR 5.2 mn a year before",
        "Profit of EUR 1.2 mn compared to a loss of EUR 0.5 mn",
        "Stocks soar as inflation eases",
        "Jobless claims fell more than expected",
        "Shares jump after earnings beat expectations",
    ],
)
def test_good_news_scores_above_zero(headline):
    assert lexicon.score(headline) > SAYS


@pytest.mark.parametrize(
    "headline",
    [
        "Operating profit fell to EUR 4.2 mn from EUR 5.1 mn",
        "Costs rose sharply",
        "Net loss widened",
        "Revenue fell short of expectations",
        "Pretax profit totalled EUR 4.9 mn, compared to EUR 5.2 mn a year before",
        "A net loss of EUR 0.5 mn compared to a profit of EUR 1.2 mn",
        "Slipped to a net loss of EUR 7.3 m from a net profit of EUR 12.5 m",
        "Wall Street tumbles as inflation rises",
        "Company issues profit warning",
        "The results were not good",
    ],
)
def test_bad_news_scores_below_zero(headline):
    assert lexicon.score(headline) < -SAYS


@pytest.mark.parametrize("headline", ["", "The company is based in Espoo, Finland", "12 3 4 %", "!!!"])
def test_plain_statements_score_nothing(headline):
    assert lexicon.score(headline) == 0.0


def test_the_number_of_shares_is_no_measure_of_success():
    assert abs(lexicon.score("The number of shares increased by 391,630")) <= SAYS


def test_every_score_lies_within_one_of_nothing(shared_data):
    table = pd.read_parquet(shared_data / "news/sp500_headlines_finbert_hourly.parquet")
    scores = np.array([lexicon.score(text) for text in table.headline[::10]])
    assert np.all(np.abs(scores) < 1)
    assert np.any(scores != 0)


def test_no_word_is_in_two_lists_that_contradict_each_other():
    assert not words.POSITIVE & words.NEGATIVE
    assert not words.UP & words.DOWN
    assert not words.GOOD_MEASURES & words.BAD_MEASURES
    assert not (words.UP | words.DOWN) & (words.POSITIVE | words.NEGATIVE)


def held_out(count: int) -> np.ndarray:
    """The quarter of the sentences in neither of the two random halves that the lists were written with."""
    first = np.random.Generator(np.random.PCG64(20250101)).permutation(count)[: count // 2]
    second = generator(0, "tests", "phrasebank").permutation(count)[: count // 2]
    return np.setdiff1d(np.arange(count), np.union1d(first, second))


def macro_f1(truth: np.ndarray, told: np.ndarray) -> float:
    labels = ("negative", "neutral", "positive")
    return float(
        np.mean([2 * np.sum((told == c) & (truth == c)) / (np.sum(told == c) + np.sum(truth == c)) for c in labels])
    )


def test_labelled_sentences_it_was_not_written_with_are_read_far_better_than_by_the_majority(shared_data):
    table = pd.read_parquet(shared_data / "news/financial_phrasebank.parquet")
    table = table.iloc[held_out(len(table))]
    truth = table.label.to_numpy()
    scores = np.array([lexicon.score(text) for text in table.sentence])
    told = np.select([scores > SAYS, scores < -SAYS], ["positive", "negative"], "neutral")
    accuracy, f1 = float(np.mean(told == truth)), macro_f1(truth, told)
    majority = np.full(len(truth), "neutral")
    base, base_f1 = float(np.mean(truth == majority)), macro_f1(truth, majority)
    print(f"lexicon on {len(truth)} held-out sentences: accuracy {accuracy:.3f}, macro-F1 {f1:.3f};", end=" ")
    print(f"majority: {base:.3f}, {base_f1:.3f}")
    assert accuracy > 0.75 > base + 0.1
    assert f1 > 0.72 > base_f1 + 0.4
