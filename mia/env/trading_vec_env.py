"""Thousands of accounts on one tape behind Stable-Baselines3's `VecEnv`, stepped by one compiled call."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numba import njit
from stable_baselines3.common.vec_env import VecEnv

from mia.broker.terms import Terms
from mia.desk.accounting import EQUITY, PEAK, POSITION, cheaper, contracts, is_ruined, new_accounts, rules, step
from mia.desk.tape import Tape
from mia.domain.errors import ArtefactMismatch, ConfigurationError
from mia.domain.rng import generator
from mia.env import actions as menu
from mia.env.episodes import Episodes
from mia.reward.reward import Reward
from mia.risk.limits import Limits

Array = np.ndarray

_GOING, _TERMINATED, _TRUNCATED = 0, 1, 2

_REMEMBERED = ("accounts", "rows", "begun", "stops", "returns", "targets", "lost", "losses", "drawdowns")


@njit(cache=True)
def _step_all(
    accounts: Array,
    rows: Array,
    begun: Array,
    stops: Array,
    targets: Array,
    close: Array,
    open_: Array,
    session: Array,
    must_flat: Array,
    may_enter: Array,
    rule: Array,
    most: int,
    change: Array,
    ended: Array,
    losses: Array,
    drawdowns: Array,
) -> int:
    """Step every account by one row; return how many episodes ended."""
    count = 0
    for i in range(len(rows)):
        t = rows[i]
        change[i], _ = step(
            accounts[i],
            contracts(targets[i], most),
            close[t],
            open_[t + 1],
            close[t + 1],
            must_flat[t],
            may_enter[t],
            session[t + 1] != session[t],
            rule,
        )
        rows[i] = t + 1
        losses[i] = -accounts[i, EQUITY]
        fall = accounts[i, PEAK] - accounts[i, EQUITY]
        # An episode's first step forgets the one before, whose figures could be read until now.
        drawdowns[i] = fall if t == begun[i] else max(drawdowns[i], fall)
        ended[i] = _GOING
        if is_ruined(accounts[i], rule):
            ended[i] = _TERMINATED
            count += 1
        elif t + 2 >= stops[i]:
            ended[i] = _TRUNCATED
            count += 1
    return count


@njit(cache=True)
def _observe(accounts: Array, rows: Array, obs: Array, most: int, out: Array) -> None:
    width = obs.shape[1]
    for i in range(len(rows)):
        t = rows[i]
        for j in range(width):
            out[i, j] = obs[t, j]
        out[i, width] = accounts[i, POSITION] / most


class TradingVecEnv(VecEnv):
    """`n_envs` accounts, each as `TradingEnv` would run it, bit for bit, once costs are charged in full.

    An ended episode starts anew at once, as Stable-Baselines3 expects: its last observation is in
    ``infos[i]["terminal_observation"]``, with ``TimeLimit.truncated``, ``episode`` return and length, and
    ``equity_cents`` and ``drawdown_cents`` (largest fall of equity from its peak since the episode began). Other
    infos are empty, and every step returns arrays of its own.

    Parameters
    ----------
    tape, terms, limits, reward, actions, episode_sessions : as in `TradingEnv`
    n_envs : number of accounts, >= 1
    seed : seed of the order of episodes
    row_index : observe [row, position] instead of the market part; the learner then looks rows up in
        `tape.obs` itself. Exact up to 2^24 rows.
    dropout : probability that an account does without a group of the observation for a whole episode
    cost_warmup : steps over which the cost of a side rises from nothing to its own
    """

    def __init__(
        self,
        tape: Tape,
        terms: Terms,
        limits: Limits,
        reward: Reward,
        *,
        n_envs: int,
        seed: int,
        actions: str = "discrete",
        episode_sessions: int | None = None,
        row_index: bool = False,
        dropout: float = 0.0,
        cost_warmup: int = 0,
    ) -> None:
        if n_envs < 1:
            raise ConfigurationError(f"env {tape.market.name}: n_envs must be at least 1, was {n_envs}")
        if row_index and len(tape) >= 1 << 24:
            raise ConfigurationError(
                f"env {tape.market.name}: row_index counts to 2^24 rows, the tape has {len(tape)}; slice it"
            )
        width = 2 if row_index else tape.width + 1
        box = spaces.Box(-np.inf, np.inf, shape=(width,), dtype=np.float32)
        self.render_mode = None
        super().__init__(n_envs, box, menu.space(actions))
        self.tape, self.reward, self.actions, self.row_index = tape, reward, actions, row_index
        self.rule, self.most = rules(terms, limits), limits.max_contracts
        self.episodes = Episodes(tape, episode_sessions)
        self._full, self._cost_warmup, self._steps = self.rule, cost_warmup, 0
        self._rng = generator(seed, "env", tape.market.name)
        self._dropout = dropout if tape.groups is not None and not row_index else 0.0
        self._lost = np.zeros((n_envs, tape.width), dtype=bool)
        self._accounts = new_accounts(n_envs)
        self._rows = np.zeros(n_envs, dtype=np.int64)
        self._begun = np.zeros(n_envs, dtype=np.int64)
        self._stops = np.zeros(n_envs, dtype=np.int64)
        self._returns = np.zeros(n_envs, dtype=np.float64)
        self._change = np.zeros(n_envs, dtype=np.int64)
        self._ended = np.zeros(n_envs, dtype=np.int64)
        self._losses = np.zeros(n_envs, dtype=np.int64)
        self._drawdowns = np.zeros(n_envs, dtype=np.int64)
        self._targets = np.zeros(n_envs, dtype=np.float64)
        self._empty: list[dict[str, Any]] = [{} for _ in range(n_envs)]

    @property
    def accounts(self) -> Array:
        """(n, FIELDS) int64, copy of the accounts (`mia.desk.accounting`)."""
        return self._accounts.copy()

    @property
    def rows(self) -> Array:
        """(n,) int64, copy of the row each account stands at."""
        return self._rows.copy()

    @property
    def stops(self) -> Array:
        """(n,) int64, copy of the row after the last of each account's episode."""
        return self._stops.copy()

    def losses(self) -> Array:
        """Return (n,) float64, what each episode has lost by the end of the step just made [cents].

        Negative where it gained. For an account whose episode ended with that step it is the ended episode's loss.
        """
        return self._losses.astype(np.float64)

    def drawdowns(self) -> Array:
        """Return (n,) float64, the largest fall of each episode's equity from its peak so far [cents].

        The peak starts at 0. For an account whose episode ended with the step just made it is the ended episode's.
        """
        return self._drawdowns.astype(np.float64)

    def state(self) -> dict[str, Any]:
        """Return all that a step reads and the tape does not hold, by name: arrays and JSON-able values, copied.

        An env of the same construction that restores it goes on bit for bit.
        """
        found: dict[str, Any] = {name: getattr(self, f"_{name}").copy() for name in _REMEMBERED}
        rest = {"seeds": list(self._seeds), "rng": self._rng.bit_generator.state, "steps": self._steps}
        return found | rest

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave.

        Raises
        ------
        ArtefactMismatch : if it was of another kind of env; this one is then as it was.
        """
        if set(state) != {*_REMEMBERED, "seeds", "rng", "steps"}:
            raise ArtefactMismatch(f"env state: holds {', '.join(sorted(state))}; it is of another version")
        for name in _REMEMBERED:
            mine, theirs = getattr(self, f"_{name}"), np.asarray(state[name])
            if (mine.shape, mine.dtype) != (theirs.shape, theirs.dtype):
                raise ArtefactMismatch(
                    f"env state: {name} is {theirs.shape} {theirs.dtype}, here {mine.shape} {mine.dtype}; "
                    "restore it into an env of the same accounts and observation"
                )
        stops = np.asarray(state["stops"])
        if len(stops) and stops.max() > len(self.tape):
            raise ArtefactMismatch(f"env state: walks a tape of at least {stops.max()} rows, here are {len(self.tape)}")
        for name in _REMEMBERED:
            setattr(self, f"_{name}", np.array(state[name]))
        self._seeds, self._steps = list(state["seeds"]), int(state["steps"])
        self._rng.bit_generator.state = state["rng"]

    def reset(self) -> Array:
        """Start an episode in every account and return the observations (n, D) float32."""
        if self._seeds[0] is not None:
            self._rng = generator(int(self._seeds[0]), "env", self.tape.market.name)
        self._reset_seeds()
        self._reset_options()
        for i in range(self.num_envs):
            self._begin(i)
        self._losses[:] = 0
        self._drawdowns[:] = 0
        return self._observations()

    def step_async(self, actions: Array) -> None:
        """Take the actions (n,) or (n, 1) of the next step."""
        self._targets = menu.wishes(self.actions, actions)

    def step_wait(self) -> tuple[Array, Array, Array, list[dict[str, Any]]]:
        """Step all accounts; return observations, rewards, dones (n,) and infos."""
        tape = self.tape
        if self._cost_warmup:
            self.rule = cheaper(self._full, min(1.0, self._steps / self._cost_warmup))
        self._steps += 1
        ended = _step_all(
            self._accounts,
            self._rows,
            self._begun,
            self._stops,
            self._targets,
            tape.close,
            tape.open,
            tape.session,
            tape.must_flat,
            tape.may_enter,
            self.rule,
            self.most,
            self._change,
            self._ended,
            self._losses,
            self._drawdowns,
        )
        context = None if tape.context is None else tape.context[self._rows - 1]
        rewards = self.reward.of_changes(self._change, self._accounts[:, POSITION], context)
        self._returns += rewards
        observations = self._observations()
        infos = self._empty.copy()
        if ended:
            self._restart(observations, infos)
        return observations, rewards, self._ended > 0, infos

    def _restart(self, observations: Array, infos: list[dict[str, Any]]) -> None:
        for i in np.flatnonzero(self._ended):
            infos[i] = {
                "terminal_observation": observations[i].copy(),
                "TimeLimit.truncated": bool(self._ended[i] == _TRUNCATED),
                "episode": {"r": float(self._returns[i]), "l": int(self._rows[i] - self._begun[i]), "t": 0.0},
                "equity_cents": int(self._accounts[i, EQUITY]),
                "drawdown_cents": int(self._drawdowns[i]),
            }
            self._begin(int(i))
            observations[i] = self._observations(i, i + 1)[0]

    def _begin(self, i: int) -> None:
        span = self.episodes.draw(self._rng)
        if self._dropout > 0:
            self._lost[i] = self.tape.groups.draw(self._rng, 1, self._dropout)[0]
        self._accounts[i] = 0
        self._returns[i] = 0
        self._rows[i] = self._begun[i] = self.episodes.starts[span]
        self._stops[i] = self.episodes.stops[span]

    def _observations(self, start: int = 0, stop: int | None = None) -> Array:
        accounts, rows = self._accounts[start:stop], self._rows[start:stop]
        if self.row_index:
            return np.stack([rows, accounts[:, POSITION] / self.most], axis=1).astype(np.float32)
        out = np.empty((len(rows), self.tape.width + 1), dtype=np.float32)
        _observe(accounts, rows, self.tape.obs, self.most, out)
        if self._dropout > 0:
            np.copyto(out[:, :-1], self.tape.groups.neutral, where=self._lost[start:stop])
        return out

    def close(self) -> None:
        """Nothing is held open."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return an attribute once per account; all share it."""
        return [getattr(self, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:  # noqa: ARG002 - SB3's signature
        """Refuse: accounts have no attributes of their own."""
        raise ConfigurationError(f"accounts share one env; build another to change {attr_name}")

    def env_method(self, method_name: str, *_args: Any, indices: Any = None, **_kwargs: Any) -> list[Any]:  # noqa: ARG002
        """Refuse: accounts have no methods of their own."""
        raise ConfigurationError(f"accounts share one env; {method_name} cannot be called on one of them")

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> Sequence[bool]:  # noqa: ARG002
        """Return False per account: nothing wraps them."""
        return [False for _ in self._get_indices(indices)]
