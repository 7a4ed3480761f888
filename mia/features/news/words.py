"""The word lists of the sentiment lexicon, written for this project; several words joined by a blank are phrases.

Directions say that something moves, measures say whether more of it is good; only both together make a sentiment.
"""


def _entries(text: str) -> frozenset[str]:
    return frozenset(" ".join(entry.split()) for entry in text.split(",") if entry.strip())


UP = _entries(
    """rise, rises, rose, risen, rising, increase, increases, increased, increasing, grow, grows, grew, grown,
    growing, growth, climb, climbs, climbed, climbing, jump, jumps, jumped, jumping, soar, soars, soared, soaring,
    surge, surges, surged, surging, gain, gains, gained, gaining, advance, advances, advanced, advancing, up,
    higher, improve, improves, improved, improving, improvement, double, doubled, doubles, doubling, triple,
    tripled, quadrupled, strengthen, strengthens, strengthened, strengthening, accelerate, accelerates,
    accelerated, accelerating, expand, expands, expanded, expanding, expansion, rally, rallies, rallied, rallying,
    rebound, rebounds, rebounded, recover, recovers, recovered, recovering, recovery, swell, swelled, swelling,
    widen, widens, widened, widening, boost, boosts, boosted, boosting, lift, lifts, lifted, raise, raises,
    raised, raising, spike, spiked, skyrocketed, exceed, exceeds, exceeded, exceeding, surpass, surpassed,
    surpasses, outpaced, uptick, upturn, multiplied, more than, went up, go up, picked up, upwards, upward,
    larger, bigger, topped, tops, peaked"""
)

DOWN = _entries(
    """fall, falls, fell, fallen, falling, decrease, decreases, decreased, decreasing, decline, declines,
    declined, declining, drop, drops, dropped, dropping, slip, slips, slipped, slipping, slide, slides, slid,
    sliding, plunge, plunges, plunged, plunging, plummet, plummets, plummeted, tumble, tumbles, tumbled, tumbling,
    sink, sinks, sank, sunk, sinking, shrink, shrinks, shrank, shrunk, shrinking, contract sharply, contracted,
    contraction, down, lower, lowered, lowers, lowering, weaken, weakens, weakened, weakening, dive, dives, dived,
    slump, slumps, slumped, slumping, narrow, narrows, narrowed, narrowing, reduce, reduces, reduced, reducing,
    reduction, reductions, cut, cuts, cutting, slashed, slashes, slash, halve, halved, shed, sheds, shedding,
    retreat, retreats, retreated, ease, eases, eased, easing, slow, slows, slowed, slowing, slowdown, dip, dips,
    dipped, tank, tanks, tanked, crash, crashed, crashes, worsen, worsens, worsened, worsening, deteriorate,
    deteriorated, deterioration, downturn, dwindle, dwindled, went down, go down, smaller, downwards, downward,
    below, diminished, erode, eroded, subside, subsided, fell short of, nosedive, nosedived, decelerated, fallers,
    minus"""
)

# More of these is good, more of those is bad; a move of the neutral ones says nothing.
GOOD_MEASURES = _entries(
    """profit, profits, earnings, sales, revenue, revenues, income, turnover, ebit, ebita, ebitda, eps, earnings
    per share, margin, margins, profitability, demand, order, orders, orders received, order intake, order book,
    order backlog, backlog, order stock, dividend, dividends, market share, cash flow, output, production,
    productivity, export, exports, volume, volumes, traffic, passenger, passengers, deliveries, shipments, result,
    results, capacity utilisation, capacity utilization, share, shares, stock, stocks, price target, outlook,
    guidance, forecast, forecasts, estimate, estimates, efficiency, competitiveness, return on investment, roi,
    return on equity, roe, equity ratio, solvency ratio, liquidity, value, deposits, lending, economy, gdp,
    spending, confidence, sentiment, wages, employment, jobs, payrolls, hiring, index, futures, equities, nasdaq,
    dow, s&p, wall street, sensex, nifty, market, markets, business, customers, subscribers, quality, performance,
    consumption, fees, commission, commissions, interest income, premiums, loans, bookings, occupancy, load
    factor, consumer confidence, retail sales, home sales, investments, position, presence, foothold, offering,
    penetration, network, staff, personnel, workforce, headcount, employees, sentiment index, rating, bid,
    activity, sector, currency, industry, trade, rouble, industrial production, gross margin, housing starts"""
)

BAD_MEASURES = _entries(
    """loss, losses, loss per share, net loss, operating loss, pretax loss, cost, costs, expense, expenses,
    expense ratio, debt, debts, net debt, indebtedness, gearing, gearing ratio, leverage, unemployment, jobless,
    jobless claims, claims, inflation, cpi, deficit, default, defaults, bad loans, delinquencies, delay, delays,
    risk, risks, volatility, vix, complaints, churn, overcapacity, impairment, impairments, write-downs,
    writedowns, provisions, credit losses, loan losses, layoffs, lay-offs, redundancies, bankruptcies, emissions,
    waste, energy consumption, downtime, taxes, tariffs, uncertainty, fears, worries, concerns, shortage,
    shortages, lead time, lead times, payback, inventories, operating costs, fixed costs, raw material prices, raw
    material costs, fuel costs, interest rates, rate hikes, deaths, accidents, competition, pressure, burden, debt
    ratio, turnaround time, misery"""
)

NEUTRAL_MEASURES = _entries(
    """share capital, number of shares, shares outstanding, voting rights, ownership, holding, holdings, stake,
    number of votes, voting power, portion, subscription, capital increase, share issue, registered share capital,
    capital, votes, floor area, square meters, floors, speed, temperature, age, nominal value, area"""
)

POSITIVE = _entries(
    """record, strong, stronger, strongest, strongly, robust, solid, healthy, excellent, outstanding, successful,
    successfully, success, win, wins, won, winning, awarded, award, awards, beat, beats, beating, outperform,
    outperforms, outperformed, upgrade, upgrades, upgraded, upbeat, optimistic, optimism, bullish, favorable,
    favourable, favorably, favourably, profitable, benefit, benefits, benefited, benefiting, good, better, best,
    great, positive, positively, pleased, satisfied, satisfactory, delighted, happy, proud, attractive,
    breakthrough, innovative, efficient, effective, enhance, enhances, enhanced, enhancing, strengths,
    opportunity, opportunities, achieve, achieved, achievement, milestone, all-time high, record high, new high,
    one-stop, synergies, synergy, easier, faster, competitive, competitive edge, reward, rewarded, rewarding,
    confident, encouraging, promising, boom, booming, brisk, buoyant, lucrative, ideal, reliable, cost-efficient,
    cost-effective, state-of-the-art, well-positioned, well positioned, exceeded expectations, above expectations,
    ahead of expectations, better than expected, better-than-expected, beat expectations, beat estimates, beats
    estimates, tops estimates, upside, accumulate, overweight, buy rating, reiterated buy, signed a contract, won
    a contract, received an order, received a major order, secured, secures, landed, approval, approves, win-win,
    profit rose, turned to profit, turned a profit, swung to profit, return to profit, returned to profit, back to
    profit, back in the black, soft landing, ceasefire, truce, rate cut, rate cuts, stimulus, relief, resilient,
    resilience, thrive, thriving, flourish, superior, premium quality, advantage, advantages, smooth, ramp up,
    ramping up, gratifying, progress, progressed, progressing, facilitate, improves efficiency, long-term
    agreement, cooperation agreement, recommended, bull market, strategic partnership, win new, significant order,
    developed best"""
)

NEGATIVE = _entries(
    """weak, weaker, weakest, weakness, poor, poorer, poorest, poorly, bad, worse, worst, disappoint, disappoints,
    disappointed, disappointing, disappointment, miss, misses, missed, warn, warns, warned, warning, warnings,
    profit warning, profit warnings, downgrade, downgrades, downgraded, bearish, bear market, pessimistic,
    pessimism, gloomy, gloom, negative, negatively, adverse, adversely, unfavorable, unfavourable, unprofitable,
    loss-making, bankruptcy, bankrupt, insolvent, insolvency, chapter 11, default, defaulted, lawsuit, lawsuits,
    sue, sues, sued, fraud, scandal, probe, investigation, fined, penalty, penalties, violation, violations,
    breach, lay off, lay-off, lay-offs, laid off, layoff, layoffs, laying off, redundant, redundancies,
    redundancy, dismiss, dismissed, dismissals, job cuts, cut jobs, cut staff, staff cuts, personnel negotiations,
    employee negotiations, personnel reductions, personnel reduction, staff reduction, staff reductions, headcount
    reduction, shut down, shutdown, shuts, shutting down, close down, closing down, closed mills, liquidated,
    liquidation, terminate, terminated, termination, suspend, suspended, suspends, suspension, halt, halts,
    halted, cancel, cancels, canceled, cancelled, cancellation, postpone, postponed, postponement, delayed,
    strike, strikes, struggle, struggles, struggled, struggling, suffer, suffers, suffered, suffering, hurt,
    hurts, hit by, hit hard, problem, problems, problematic, difficult, difficulties, difficulty, challenging,
    challenge, challenges, crisis, recession, stagflation, depressed, depression, threat, threats, threaten,
    threatens, threatened, lose, loses, lost, losing, loose their jobs, fail, fails, failed, failure, failing,
    fear, fears, worry, worries, worried, concern, concerns, panic, turmoil, selloff, sell-off, sell off, rout,
    bloodbath, correction, volatile, slack, sluggish, stagnant, stagnate, stagnated, underperform, underperformed,
    underweight, sell rating, below expectations, worse than expected, worse-than-expected, weaker than expected,
    missed expectations, miss estimates, misses estimates, misses expectations, fell short, falls short, short of
    expectations, swung to loss, slipped to loss, swung to a loss, slipped to a loss, went into the red, in the
    red, write-down, writedown, write-off, write-offs, impairment, impairment charge, axe, axed, axing, ban,
    banned, bans, sanctions, tariff, tariffs, invasion, war, attack, attacks, missile, rate hike, rate hikes,
    hawkish, impossible, unable, damage, damaged, damages, accident, fire, explosion, pollution, leak, toxic,
    contaminated, recall, recalls, recalled, dispute, disputes, disagree, overcapacity, oversupply, shortage,
    shortages, stolen, theft, thieves, stealing, bogus, spam, malware, virus, viruses, vulnerability,
    vulnerabilities, illegal, illegally, corruption, nasty, burden, heavy, hampered, hamper, hampers, plagued,
    plague, disrupt, disrupted, disruption, disruptions, deteriorating, downside, jeopardy, jeopardize, emergency,
    dead, killed, death, shooting, stressful, laborious, no longer, too high, not pay, will not pay, give notice,
    job losses, squeeze, squeezed, collapse, collapsed, collapses, quit, resign, resigned, resigns, inconsistent,
    absence of, lack of, lack, lacks, unchanged or lower, misleading, deadlock, not profitable, wasted, drought,
    storm, storms, pandemic, covid"""
)

NEGATIONS = _entries(
    "not, no, never, neither, nor, without, cannot, can't, won't, don't, doesn't, didn't, isn't, wasn't, n't, hardly"
)

COMPARISONS = _entries(
    "compared to, compared with, as compared to, as compared with, against, versus, vs, vs., from, instead of"
)

# Phrases that hold a direction and mean none.
ASIDE = _entries("more than, less than, at least, up to, as of, set up, back up, made up, make up, follow up, sign up")
