"""Words from which the simulated headlines are made; their tone is plain, so that a finance lexicon can score them."""

# topic -> who or what is spoken of
SUBJECTS: dict[str, tuple[str, ...]] = {
    "macro": (
        "Retail sales", "Factory orders", "Consumer confidence", "Housing starts", "Industrial output",
        "Jobless claims data", "Services activity", "Wage growth", "Core inflation reading", "Economic growth estimate",
    ),
    "policy": (
        "Central bank minutes", "Fed officials", "The Treasury", "Rate decision", "Budget talks in Congress",
        "The central bank governor", "Tariff proposal", "Banking regulators",
    ),
    "earnings": (
        "Northgate Software quarterly profit", "Alder Retail earnings", "Corvane Semiconductor revenue",
        "Bluewater Airlines results", "Pinecrest Bank net income", "Halden Motors margins", "Orrin Pharma guidance",
    ),
    "geopolitics": (
        "Border talks", "Shipping through the strait", "Sanctions negotiations", "Ceasefire efforts",
        "Trade delegation visit", "Energy supply dispute",
    ),
    "company": (
        "Northgate Software", "Alder Retail", "Corvane Semiconductor", "Bluewater Airlines", "Pinecrest Bank",
        "Halden Motors", "Orrin Pharma", "Tessel Energy",
    ),
    "markets": (
        "Stock futures", "Wall Street", "Technology shares", "Small caps", "Bank stocks", "Equity index futures",
        "Chip makers", "Bond yields and stocks",
    ),
    "other": ("Weather service outlook", "Survey of households", "Annual industry conference", "Travel association"),
}  # fmt: skip

# tone -> topic -> what happened; "" serves topics without their own. Past tense fits one subject or many.
PHRASES: dict[str, dict[str, tuple[str, ...]]] = {
    "very good": {
        "": (
            "surged to a record high on strong demand",
            "beat expectations by a wide margin, outlook improved sharply",
        ),
        "policy": ("brought strong support, optimism surged", "delivered welcome relief, confidence soared"),
        "earnings": ("soared, beat estimates as profitability reached a record", "surged on strong demand"),
        "company": ("surged after winning record order", "soared on strong growth and upgrade"),
        "markets": ("soared as optimism returned, best gain in months", "rallied strongly, reached record highs"),
        "geopolitics": ("achieved breakthrough agreement, progress praised", "ended successfully, relief and optimism"),
    },
    "good": {
        "": ("improved, better than expected", "showed gains and positive momentum", "rose as conditions strengthened"),
        "policy": ("signalled support and stability, boosted confidence", "welcomed progress and strong gains"),
        "earnings": ("rose and beat forecasts", "improved, company raised outlook on strong orders"),
        "company": ("won profitable contract", "upgraded on strong growth", "gained after favorable ruling"),
        "markets": ("gained as investors turned optimistic", "rose, rebound gathered strength"),
        "geopolitics": ("made progress, tensions eased", "advanced, strong progress reported"),
    },
    "neutral": {
        "": ("unchanged from the previous month", "in line with estimates", "awaited by traders later today"),
        "policy": ("due at 2 p.m.", "left wording unchanged", "on the schedule for next meeting"),
        "company": ("to present at conference next week", "named new head of division", "filed annual report"),
        "markets": ("little changed in quiet trading", "traded in narrow range before data"),
    },
    "bad": {
        "": ("weakened, worse than expected", "declined amid concerns over demand", "fell short of estimates"),
        "policy": ("warned of risks and uncertainty", "raised concern over weak growth", "flagged losses and slowdown"),
        "earnings": ("missed forecasts as costs hurt margins", "declined, company cut outlook"),
        "company": ("downgraded on weak demand", "faced lawsuit over defective product", "warned of losses"),
        "markets": ("fell as worries about growth persisted", "declined, losses deepened"),
        "geopolitics": ("stalled amid threats and disputes", "failed to ease tensions"),
    },
    "very bad": {
        "": ("collapsed, recession fears deepened", "plunged in worst decline since crisis"),
        "policy": ("failed, crisis and severe losses feared", "collapsed, default warning deepened"),
        "earnings": ("plunged to a severe loss, default risk warned", "collapsed, bankruptcy feared"),
        "company": ("plunged after fraud investigation", "suffered severe losses, default feared"),
        "markets": ("plunged as panic selling deepened losses", "tumbled, worst loss in months"),
        "geopolitics": ("collapsed, conflict and crisis feared", "broke down, severe disruption warned"),
    },
}

TONES = ("very bad", "bad", "neutral", "good", "very good")
TAILS = ("", "", "", ", analysts say", " - sources", ", report shows", ", survey finds")
UPDATES = ("UPDATE 1-", "UPDATE 2-", "RPT-", "CORRECTED-")
PUBLISHERS = ("Harbor Newswire", "Meridian Dispatch", "Street Bulletin", "Ledger Daily")
TICKERS: dict[str, str] = {
    "Northgate Software": "NGSW", "Alder Retail": "ALDR", "Corvane Semiconductor": "CVSM", "Bluewater Airlines": "BWAL",
    "Pinecrest Bank": "PCBK", "Halden Motors": "HLDM", "Orrin Pharma": "ORPH", "Tessel Energy": "TSLE",
}  # fmt: skip

# event code -> topic and words before the phrase
EVENTS: dict[int, tuple[str, str]] = {
    1: ("policy", "Fed statement:"),
    2: ("macro", "Consumer prices:"),
    3: ("macro", "Payrolls:"),
    4: ("macro", "Manufacturing index:"),
    5: ("macro", "Services index:"),
}


def headline(topic: str, tone: str, draws: tuple[float, float, float], event: int = 0) -> tuple[str, str]:
    """Compose a headline from three uniform draws; returns it and its subject."""
    subject = pick(SUBJECTS[topic], draws[0])
    found = PHRASES[tone].get(topic) or PHRASES[tone][""]
    lead = f"{EVENTS[event][1]} " if event in EVENTS else ""
    return f"{lead}{subject} {pick(found, draws[1])}{pick(TAILS, draws[2])}", subject


def pick(choices: tuple[str, ...], draw: float) -> str:
    """The choice on which a uniform draw falls."""
    return choices[min(int(draw * len(choices)), len(choices) - 1)]
