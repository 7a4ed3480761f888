"""The market with a known chain of regimes: the product's own regime model has to find it. Called by known_worlds."""

import numpy as np

from mia.desk.tape import Tape
from mia.domain.errors import ConfigurationError
from mia.domain.rng import generator
from mia.evaluation.known_world import Judged, lay_out, targets_of, terms
from mia.regime import regime_detector
from mia.regime.settings import HmmSettings
from mia.source import regime_world, yardstick
from mia.source.regime_world import World
from mia.source.regime_world_settings import RegimeWorldSettings

Array = np.ndarray


class RegimeMarket:
    """Rows of the market, seen with the belief of a regime model fitted on the training rows.

    Parameters
    ----------
    settings : the market
    regime : how the product fits its regime model
    seed : of rows and fits

    Raises
    ------
    ConfigurationError : if the model reads another number of columns than the market shows.
    """

    def __init__(self, settings: RegimeWorldSettings, regime: HmmSettings, seed: int) -> None:
        if len(regime.inputs) != settings.columns:
            raise ConfigurationError(
                f"source {settings.name}: shows {settings.columns} columns, but regime {regime.name} reads "
                f"{len(regime.inputs)}; give means and deviations as many columns as regime.inputs"
            )
        self._settings, self._regime, self._seed = settings, regime, seed
        self._learned_on = regime_world.world(settings, seed, "train")
        self._judged_on = regime_world.world(settings, seed, "judge")
        rng = generator(seed, "regime_market", "fit")
        self._model = regime_detector.fit(self._learned_on.shown, regime, rng)
        self.tape = self._tape(self._learned_on)
        self.terms = terms(settings)

    def judge(self, policy: Judged) -> dict[str, float]:
        """Return what a policy earns per bar given the true states, and how well the regime model did.

        `optimum` is what the best policy that knows the chain earns on the same rows, `optimum_long_run` what
        dynamic programming says of it; `hmm_accuracy` and `true_filter_accuracy` are the shares of the rows
        whose likeliest state is the true one, `hmm_ratio` the one over the other, and `names_stable` the share
        of the refits whose states bear the right names.
        """
        world, fresh = self._judged_on, self._model.filter(self._judged_on.shown)
        truth = regime_world.true_filter(world.settings, world.shown)
        plan = regime_world.plan(world.settings)
        best, _, _ = expected_profit(world, yardstick.hold(plan.targets(truth)))
        profit, cost, trades = expected_profit(world, yardstick.hold(targets_of(policy, _seen(world, fresh))))
        found, exact = _accuracy(fresh, world), _accuracy(truth, world)
        return {
            "optimum": best / len(world),
            "achieved": profit / len(world),
            "fraction": profit / best,
            "optimum_long_run": plan.per_bar,
            "cost": cost / len(world),
            "trades": trades,
            "rows": len(world),
            "hmm_accuracy": found,
            "true_filter_accuracy": exact,
            "hmm_ratio": found / exact,
            "names_stable": self._names_stable(),
        }

    def fresh(self) -> Tape:
        """Return the rows to be judged on, with the fitted model's belief."""
        return self._tape(self._judged_on)

    def _tape(self, world: World) -> Tape:
        belief = self._model.filter(world.shown)
        return lay_out(world.returns, _seen(world, belief), self._settings.ticks_per_unit, belief)

    def _names_stable(self) -> float:
        """Share of the refits, on ever more rows and each aligned to the one before, that name every state right."""
        rows, count, right, previous = len(self._learned_on), self._settings.refits, 0, None
        for fit, stop in enumerate(np.linspace(rows // 4, rows, count).astype(np.int64)):
            rng = generator(self._seed, "regime_market", "refit", str(fit))
            previous = regime_detector.fit(self._learned_on.shown[:stop], self._regime, rng, previous)
            right += names_are_right(self._settings, previous)
        return right / count


def names_are_right(settings: RegimeWorldSettings, model: regime_detector.RegimeModel) -> bool:
    """Whether each fitted state lies nearest to the true state of its name, all of them assigned at once."""
    from scipy.optimize import linear_sum_assignment

    means, spread = np.array(settings.means), np.array(settings.deviations)
    gaps = (((model.means[:, None] - means[None]) / spread[None]) ** 2).sum(axis=2)
    return bool(np.array_equal(linear_sum_assignment(gaps)[1], np.arange(len(means))))


def expected_profit(world: World, held: Array) -> tuple[float, float, int]:
    """Return what positions (T,) earn given the true states and pay [units], and the contracts they trade."""
    traded = int(np.abs(np.diff(held, prepend=0)).sum())
    cost = world.settings.cost * traded
    return float((held * np.array(world.settings.drift)[world.state]).sum()) - cost, cost, traded


def _accuracy(belief: Array, world: World) -> float:
    return float(np.mean(belief.argmax(axis=1) == world.state))


def _seen(world: World, belief: Array) -> Array:
    """(T, F + 3) float32 the columns and the fitted belief."""
    return np.concatenate([world.shown, belief], axis=1).astype(np.float32)
