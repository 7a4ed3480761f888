"""Fine-tunes every fold's policy to each regime and judges the whole beside the policy it started from.

Hyper-parameters are searched on the training fold's purged last rows, a regime keeps its base policy where the gain
there is no more than luck, and test rows choose nothing.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mia.algo.adaptation import Rows, adapt
from mia.algo.by_regime import ByRegime, regime_rows, sure_regimes
from mia.algo.experience import experience
from mia.algo.policy import TrainedPolicy
from mia.algo.selection import Candidate, Choice, Validation
from mia.algo.settings.adaptation import FinetuneSettings
from mia.desk.backtest import run_policy
from mia.domain.rng import generator
from mia.evaluation import adaptation_page, paired
from mia.evaluation.figures import equity
from mia.evaluation.performance import daily_net_usd, joined, outcome
from mia.regime.regime_detector import REGIMES
from mia.task import adapting, train
from mia.task.adapting import Base, Work
from mia.task.settings import RunSettings
from mia.task.watch import Watch

Array = np.ndarray
Trial = dict[str, Any]

NORMAL_95 = 1.96
PIECE_BARS = 60
"""Bars whose profits are added up before two accounts are compared."""


def main(settings: RunSettings, plain: dict[str, Any], directory: Path, watch: Watch) -> None:
    """Train, fine-tune and judge every fold."""
    with adapting.begun(settings, plain, directory, watch) as work:
        tuned, still, rows, weights = [], [], [], []
        for base in adapting.bases(work):
            routed, searched = fine_tuned(work, base)
            for regime, policy in routed.tuned.items():
                folder = directory / "folds" / f"fold_{base.index}" / REGIMES[regime]
                train.bundle_of(settings, work.made, base.taught, policy, folder)
            train.bundle_of(
                settings, work.made, base.taught, base.policy, directory / "folds" / f"fold_{base.index}" / "base"
            )
            tuned.append(outcome(run_policy(base.test, routed, base.headline, base.bounds)))
            still.append(outcome(run_policy(base.test, base.policy, base.headline, base.bounds)))
            rows += [row | {"test_rows": count} for row, count in zip(searched, _test_rows(base, work), strict=True)]
            weights += [base.policy.digest, *(policy.digest for policy in routed.tuned.values())]
        _judge(work, tuned, still, rows, weights)


def fine_tuned(work: Work, base: Base) -> tuple[ByRegime, list[dict[str, Any]]]:
    """Fine-tune one fold's policy to every regime; return what decides, and what was found of each regime."""
    finetune, found, rows = work.settings.finetune, {}, []
    with work.watch.step(f"fold {base.index + 1}: fine-tune", len(REGIMES) * finetune.trials) as step:
        for regime, name in enumerate(REGIMES):
            search = Search(work.settings, base, regime)
            row = {"fold": base.index, "regime": name, "rows": len(search.rows.used()), **search.nothing()}
            if row["rows"] >= finetune.min_rows:
                for done in search.trials():
                    step(regime * finetune.trials + done, len(REGIMES) * finetune.trials)
                choice = search.choose()
                row |= search.told(choice)
                if row["used"]:
                    found[regime] = choice.candidate.policy
            rows.append(row)
    return ByRegime(base=base.policy, tuned=found, regimes=len(REGIMES), posterior=finetune.posterior), rows


class Search:
    """Searches the hyper-parameters of one regime of one fold, and goes on where an interruption left it.

    Parameters
    ----------
    settings : of the run
    base : the fold
    regime : number of the regime
    """

    def __init__(self, settings: RunSettings, base: Base, regime: int) -> None:
        self.settings, self.base, self.regime = settings, base, regime
        self.finetune: FinetuneSettings = settings.finetune
        weights = regime_rows(base.learn.belief, regime, self.finetune.posterior, self.finetune.weighting)
        self.rows = Rows(tape=base.learn, terms=base.terms, experience=base.experience, weights=weights)
        # Chosen by money, never by the shaped reward.
        validation = replace(settings.algo.validation, margin=0.0, level=self.finetune.level)
        rng = generator(settings.seed, "finetune", "luck", str(base.index), str(regime))
        self.validation = Validation(experience(base.choose, base.terms), validation, rng)
        self.still = self.validation.see(0, base.policy).blocks
        self.validation.candidates.clear()
        self.keeper = base.keeper.part(REGIMES[regime])
        state = self.keeper.load()
        self.done: list[Trial] = list(state["trials"]) if state else []
        for trial in self.done:
            self._candidate(trial)

    def trials(self) -> Any:
        """Try one after the other; yields how many are done."""
        study = self._study()
        while len(self.done) < self.finetune.trials:
            if self.keeper.is_stopping():
                raise KeyboardInterrupt
            number = len(self.done)
            # A sampler of its own for each trial: what it proposes then depends on the trials before alone, so that
            # an interrupted search goes on as it would have.
            study.sampler = self._sampler(number)
            asked = study.ask(self._ranges())
            trial = self._try(number, asked.params)
            study.tell(asked, trial["gain_cents"])
            self.done.append(trial)
            self.keeper.save({"trials": self.done})
            self._log(trial)
            yield len(self.done)

    def choose(self) -> Choice:
        """Choose the trial with the largest gain, and ask whether luck explains it."""
        return self.validation.choose()

    def nothing(self) -> dict[str, Any]:
        """What is told of a regime with too few rows."""
        return {
            "trials": 0,
            "gain_usd": 0.0,
            "error_usd": 0.0,
            "chance": 1.0,
            "used": False,
            "learning_rate": 0.0,
            "updates": 0,
            "kl": 0.0,
            "loss_before": 0.0,
            "loss_after": 0.0,
        }

    def told(self, choice: Choice) -> dict[str, Any]:
        """What is told of the chosen trial."""
        trial = self.done[choice.candidate.step]
        return {
            "trials": len(self.done),
            "gain_usd": trial["gain_cents"] / 100,
            "error_usd": float(choice.candidate.blocks.std(ddof=1)) * len(choice.candidate.blocks) ** 0.5 / 100,
            "chance": choice.chance,
            "used": not choice.abstains,
            "learning_rate": trial["learning_rate"],
            "updates": trial["updates"],
            "kl": trial["kl"],
            "loss_before": trial["losses"][0],
            "loss_after": trial["losses"][-1],
        }

    def _study(self) -> Any:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        study = optuna.create_study(direction="maximize", sampler=self._sampler(0))
        for trial in self.done:
            values = {key: trial[key] for key in self._ranges()}
            study.add_trial(
                optuna.trial.create_trial(params=values, distributions=self._ranges(), value=trial["gain_cents"])
            )
        return study

    def _sampler(self, number: int) -> Any:
        import optuna

        rng = generator(self.settings.seed, "finetune", "search", str(self.base.index), str(self.regime), str(number))
        startup = self.finetune.startup_trials
        return optuna.samplers.TPESampler(seed=int(rng.integers(2**31)), n_startup_trials=startup)

    def _ranges(self) -> dict[str, Any]:
        from optuna.distributions import FloatDistribution, IntDistribution

        tune = self.finetune
        return {
            "learning_rate": FloatDistribution(tune.learning_rate_low, tune.learning_rate_high, log=True),
            "wished_updates": IntDistribution(tune.updates_low, tune.updates_high, log=True),
            "kl_limit": FloatDistribution(tune.kl_low, tune.kl_high, log=True),
        }

    def _try(self, number: int, proposed: Mapping[str, Any]) -> Trial:
        step = self.finetune.step(
            learning_rate=proposed["learning_rate"],
            updates=proposed["wished_updates"],
            kl_limit=proposed["kl_limit"],
        )
        seed = int(generator(self.settings.seed, "finetune", str(self.base.index), str(self.regime)).integers(2**31))
        adapted = adapt(self.base.policy, self.rows, self.settings.algo, step, seed, device=self.settings.device)
        trial: Trial = {
            "number": number,
            **proposed,
            "updates": adapted.updates,
            "kl": adapted.kl,
            "losses": list(adapted.losses),
            "policy": adapted.policy.to_state(),
        }
        return trial | {"gain_cents": self._candidate(trial)}

    def _candidate(self, trial: Trial) -> float:
        """Let the regime's rows of the validation be traded by what the trial made; its gain over the base [cents]."""
        policy = TrainedPolicy.from_state(trial["policy"])
        routed = ByRegime(
            base=self.base.policy,
            tuned={self.regime: policy},
            regimes=len(REGIMES),
            posterior=self.finetune.posterior,
        )
        seen = self.validation.see(trial["number"], routed)
        self.validation.candidates[-1] = Candidate(
            step=seen.step, policy=policy, blocks=seen.blocks - self.still, trades=seen.trades
        )
        return self.validation.candidates[-1].profit

    def _log(self, trial: Trial) -> None:
        earlier = sum(done["updates"] for done in self.done)
        self.base.log.log(
            self.base.steps + self.regime * self.finetune.trials * self.finetune.updates_high + earlier,
            {
                "finetune_loss": trial["losses"][-1],
                "regime": REGIMES[self.regime],
                "trial_number": trial["number"],
                "gain_cents": trial["gain_cents"],
                "kl": trial["kl"],
                "learning_rate": trial["learning_rate"],
                "updates": trial["updates"],
            },
        )


def _test_rows(base: Base, work: Work) -> list[int]:
    place = sure_regimes(base.test.belief, work.settings.finetune.posterior)
    return [int((place == regime).sum()) for regime in range(len(REGIMES))]


def _judge(work: Work, tuned: list[Any], still: list[Any], rows: list[dict[str, Any]], weights: list[str]) -> None:
    """Compare the routed policies with the base on test rows, and leave both behind."""
    judge = work.settings.evaluation
    ours, others = (
        np.concatenate([paired.pieces(part.equity_cents, PIECE_BARS) for part in parts]) for parts in (tuned, still)
    )
    rng = generator(work.settings.seed, "finetune", "bootstrap")
    raw = paired.lead(ours, others, rng, judge.bootstrap_samples, judge.confidence)
    lead = adapting.usd(raw)
    whole, standing = joined(tuned), joined(still)
    used = [row for row in rows if row["used"]]
    verdict = (
        f"Fine-tuned policies of {len(used)} of {len(rows)} regimes of folds earned {adapting.sentence_of(lead)}."
        if used
        else "No regime's fine-tuned policy beat its base by more than luck on inner validation rows: the base stays."
    )
    oos = adapting.figures(work, tuned, "policy")
    found = {
        **lead,
        "net_usd": oos["net_usd"],
        "base_net_usd": float(standing.equity_cents[-1]) / 100,
        "regimes": rows,
    }
    gains = [
        {
            "name": f"fold {row['fold'] + 1}, {row['regime']}",
            "value": row["gain_usd"],
            "low": row["gain_usd"] - NORMAL_95 * row["error_usd"],
            "high": row["gain_usd"] + NORMAL_95 * row["error_usd"],
        }
        for row in rows
    ]
    lines = {"fine-tuned": whole.equity_cents, "base": standing.equity_cents}
    content = adaptation_page.Content(
        what="fine-tuning by regime",
        title=f"{work.settings.market.name} · {work.settings.algo.name}",
        facts=adapting.facts(work),
        verdict=verdict,
        tone=paired.tone(raw),
        warnings=adapting.warnings(work),
        drawn={
            "equity": equity(whole.ts, lines, "fine-tuned"),
            "gain": adaptation_page.intervals(gains, "gain of the best trial on inner validation rows [USD]"),
        },
        captions={
            "equity": ("Net profit on test rows", "fine-tuned policies by regime, and the base everywhere"),
            "gain": ("What the search found", "best of all trials, so too kind; used only where luck is unlikely"),
        },
        tables={"Regimes": rows},
    )
    adapting.finish(work, found, oos, daily_net_usd(whole), weights, content)
