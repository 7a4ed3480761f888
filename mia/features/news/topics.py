"""What a headline is about, and whether it is about the market that is traded: by words alone."""

import re
from collections.abc import Mapping

from mia.domain.series import NEWS_TOPICS

_WORD = re.compile(r"\w+(?:[&'-]\w+)*")

# In order of precedence where two topics have as many words.
_LISTS = {
    "policy": """fed, fomc, powell, ecb, lagarde, boe, boj, pboc, rbi, central bank, central banks, rate hike,
        rate hikes, rate cut, rate cuts, interest rate, interest rates, monetary policy, quantitative easing,
        tapering, hawkish, dovish, basis points, bond buying, stimulus, debt ceiling, treasury secretary, fiscal,
        tax bill, tax cut, tax cuts, regulator, regulators, antitrust""",
    "macro": """cpi, ppi, pce, gdp, ism, pmi, inflation, deflation, stagflation, recession, unemployment, jobless,
        payroll, payrolls, nonfarm, jobs report, labor market, labour market, retail sales, consumer confidence,
        consumer spending, consumer sentiment, housing starts, home sales, durable goods, trade deficit, trade
        balance, factory orders, industrial production, economic growth, economy, economic data, beige book, wage
        growth, soft landing""",
    "geopolitics": """war, invasion, invades, missile, missiles, airstrike, airstrikes, attack, attacks,
        sanctions, sanction, tariff, tariffs, embargo, nuclear, coup, military, troops, ceasefire, terror,
        terrorist, nato, ukraine, russia, iran, israel, gaza, taiwan, opec, trade war, north korea, middle east,
        election, elections, impeachment, government shutdown, geopolitical""",
    "earnings": """earnings, eps, ebitda, ebit, guidance, quarterly, quarter results, full-year results, first
        quarter, second quarter, third quarter, fourth quarter, profit, profits, revenue, revenues, net income,
        net loss, operating profit, net sales, profit warning, outlook raised, beats estimates, misses estimates,
        dividend, dividends, q1, q2, q3, q4""",
    "company": """ceo, cfo, merger, acquisition, acquires, acquire, acquired, takeover, buyout, lawsuit, sues,
        ipo, layoffs, startup, recall, bankruptcy, chapter 11, contract, partnership, joint venture, launches,
        board of directors, subsidiary, corp, inc, plc, oyj""",
    "markets": """stocks, stock, shares, equities, nasdaq, dow, s&p, sensex, nifty, dax, ftse, nikkei, futures,
        bonds, yields, yield, treasuries, bitcoin, oil, gold, crude, dollar, volatility, vix, wall street, stock
        market, bull market, bear market, rally, selloff, sell-off, correction, all-time high, record high, index,
        indices""",
}


class Phrases:
    """Finds words and phrases in a text, the longest first, each only where it stands alone; capitals do not matter.

    Parameters
    ----------
    labels : word or phrase -> what finding it says
    """

    def __init__(self, labels: Mapping[str, str]) -> None:
        self._labels = {tuple(_words(entry)): label for entry, label in labels.items() if _words(entry)}
        self._longest = max(map(len, self._labels), default=0)

    def found(self, text: str) -> list[str]:
        """Labels of what is found, in order."""
        words, at, labels = _words(text), 0, []
        while at < len(words):
            for length in range(min(self._longest, len(words) - at), 0, -1):
                label = self._labels.get(tuple(words[at : at + length]))
                if label is not None:
                    labels.append(label)
                    at += length - 1
                    break
            at += 1
        return labels


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower().replace(" & ", "&"))


_TOPICS = Phrases({word: topic for topic, words in _LISTS.items() for word in " ".join(words.split()).split(",")})


def topic_of(headline: str) -> str:
    """The topic with the most words in the headline, "other" if there is none."""
    found = _TOPICS.found(headline)
    if not found:
        return NEWS_TOPICS[-1]
    return max(_LISTS, key=found.count)  # the first of several equal ones
