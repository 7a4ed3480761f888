"""The desk seen through Gymnasium's door: one account on a tape. `TradingVecEnv` is many at once."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded

from mia.broker.terms import Terms
from mia.desk.accounting import (
    COST,
    EQUITY,
    FORCED,
    OVERNIGHT,
    PEAK,
    POSITION,
    is_ruined,
    new_accounts,
    rules,
    step,
)
from mia.desk.tape import Tape
from mia.domain.errors import ConfigurationError
from mia.env import actions as menu
from mia.env.episodes import Episodes
from mia.reward.reward import Reward
from mia.risk.limits import Limits

Array = np.ndarray


class TradingEnv(gymnasium.Env[Array, Any]):
    """One account that trades one contract along a tape.

    An observation is [market part of the row | position as a share of the limit]; an action is taken at that
    row's close and fills at the next row's open. An episode ends `terminated` when the account can never
    trade again (margin gone, drawdown limit) and `truncated` at the end of its span, where what is held is
    marked but not closed: its value goes on, so a learner may bootstrap from it.

    Parameters
    ----------
    tape : T rows, at least two
    terms : what a tick is worth and a side costs
    limits : limits to keep
    reward : what a step is worth
    actions : "discrete" (0 short, 1 flat, 2 long, at the limit) or "continuous" (share of the limit, (1,))
    episode_sessions : length of an episode [sessions], from a random session's start; None: the whole tape
    """

    def __init__(
        self,
        tape: Tape,
        terms: Terms,
        limits: Limits,
        reward: Reward,
        *,
        actions: str = "discrete",
        episode_sessions: int | None = None,
    ) -> None:
        super().__init__()
        self.metadata = {"render_modes": []}
        self.render_mode = None
        self.action_space = menu.space(actions)
        self.observation_space = spaces.Box(-np.inf, np.inf, shape=(tape.width + 1,), dtype=np.float32)
        self.tape, self.reward, self.actions = tape, reward, actions
        self.rule, self.most = rules(terms, limits), limits.max_contracts
        self.episodes = Episodes(tape, episode_sessions)
        self._account = new_accounts(1)[0]
        self._row = 0
        self._stop = 0
        self._drawdown = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Array, dict[str, Any]]:
        """Start an episode; ``options={"episode": i}`` chooses its span instead of drawing one."""
        super().reset(seed=seed)
        span = self.episodes.draw(self.np_random) if not options else int(options["episode"])
        if not 0 <= span < len(self.episodes):
            raise ConfigurationError(f"env: episode must lie in 0 ... {len(self.episodes) - 1}, was {span}")
        self._row, self._stop = int(self.episodes.starts[span]), int(self.episodes.stops[span])
        self._account[:] = 0
        self._drawdown = 0
        return self._observation(), self._info(flags=0)

    def step(self, action: Any) -> tuple[Array, float, bool, bool, dict[str, Any]]:
        """Hold what `action` asks for, as far as the rules allow, until the next bar's close."""
        if self._row + 1 >= self._stop:
            raise ResetNeeded("env: the episode is over; call reset first")
        tape, t = self.tape, self._row
        before = int(self._account[EQUITY])
        _, flags = step(
            self._account,
            menu.wish(self.actions, action, self.most),
            tape.close[t],
            tape.open[t + 1],
            tape.close[t + 1],
            tape.must_flat[t],
            tape.may_enter[t],
            tape.session[t + 1] != tape.session[t],
            self.rule,
        )
        self._row = t + 1
        terminated = bool(is_ruined(self._account, self.rule))
        truncated = not terminated and self._row + 1 >= self._stop
        if terminated:
            self._stop = self._row
        equity = int(self._account[EQUITY])
        self._drawdown = max(self._drawdown, int(self._account[PEAK]) - equity)
        context = None if tape.context is None else tape.context[t]
        reward = self.reward(before, equity, position=int(self._account[POSITION]), context=context)
        return self._observation(), reward, terminated, truncated, self._info(int(flags))

    def _observation(self) -> Array:
        out = np.empty(self.tape.width + 1, dtype=np.float32)
        out[:-1] = self.tape.obs[self._row]
        out[-1] = self._account[POSITION] / self.most
        return out

    def _info(self, flags: int) -> dict[str, Any]:
        account = self._account
        return {
            "row": self._row,
            "equity_cents": int(account[EQUITY]),
            "drawdown_cents": self._drawdown,
            "cost_cents": int(account[COST]),
            "position": int(account[POSITION]),
            "forced": int(account[FORCED]),
            "overnight": int(account[OVERNIGHT]),
            "flags": flags,
        }
