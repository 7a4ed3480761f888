"""What the learners share: the course of a training, seeding without side effects, falling step sizes, looks."""

import math
import random
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.callbacks import BaseCallback

from mia.algo import checkpoint
from mia.algo.checkpoint import Forgetful, Keeper
from mia.algo.experience import Experience, experience
from mia.algo.policy import TrainedPolicy
from mia.algo.progress import Progress
from mia.algo.selection import Candidate, Validation, split
from mia.algo.settings import ValidationSettings
from mia.broker.terms import Terms
from mia.desk.tape import Tape
from mia.domain.errors import ArtefactMismatch
from mia.domain.rng import generator
from mia.reward.settings import RewardSettings

Layers = list[tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Course:
    """What a learner is given.

    Parameters
    ----------
    tape : rows to learn from
    experience : the outcome of every position and action on them, and what the reward makes of it
    terms : what a tick is worth and a side costs while learning
    settings : how to learn
    seed : every random stream derives from it
    reward : how a step is rewarded; None: plain profit
    start : policy whose weights to begin from; None: random ones
    device : "cpu", "cuda" or "auto", as torch names it
    choosing : rows its checkpoints are chosen on; no gradient may know them
    """

    tape: Tape
    experience: Experience
    terms: Terms
    settings: Any
    seed: int
    reward: RewardSettings | None
    start: TrainedPolicy | None
    device: str
    choosing: Tape | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Student:
    """A learner ready to learn.

    Parameters
    ----------
    model : the Stable-Baselines3 model; its env, its replay buffer and itself may add to a checkpoint (`checkpoint`)
    total : steps of `learn`
    policy : returns the present policy; card and abstaining are filled in later
    figures : returns what the learner wants told at each look, beside profit and trades
    breach : returns by how much the present policy breaks a limit that was asked for, at most 0 if it keeps it; asked
        at each look before `figures`. None: there is no limit
    strict : whether the policy abstains if no checkpoint keeps that limit
    card : returns what the learner adds to the policy's card
    """

    model: Any
    total: int
    policy: Callable[[], TrainedPolicy]
    figures: Callable[[], Mapping[str, Any]] = field(default=dict)
    breach: Callable[[], float] | None = None
    strict: bool = False
    card: Callable[[], Mapping[str, Any]] = field(default=dict)


def teach(
    build: Callable[[Course], Student],
    tape: Tape,
    terms: Terms,
    settings: Any,
    seed: int,
    progress: Progress,
    *,
    reward: RewardSettings | None = None,
    keeper: Keeper | None = None,
    start: TrainedPolicy | None = None,
    device: str = "cpu",
) -> TrainedPolicy:
    """Learn on a training fold and choose a checkpoint on its last rows: what every `train` does.

    Parameters
    ----------
    build : makes the learner
    tape : the training fold
    terms, settings, seed, reward, start, device : as in `Course`
    progress : hears of every look
    keeper : keeps the state between two rollouts, and the policy in the end, and can ask to stop; None: nothing is
        kept

    Returns
    -------
    The policy; it abstains if its profit on the rows kept for choosing does not exceed luck.

    Raises
    ------
    DataError : if the tape is too short or its prices never move.
    ArtefactMismatch : if `start` does not fit the learner's network, or what the keeper holds is damaged.
    KeyboardInterrupt : if the keeper asks to stop; the state is saved before.
    """
    keeper = keeper or Forgetful()
    ready = keeper.result()
    if ready is not None:
        return ready
    learn_tape, choose_tape = split(tape, settings.validation)
    course = Course(
        tape=learn_tape,
        experience=experience(learn_tape, terms, reward),
        terms=terms,
        settings=settings,
        seed=seed,
        reward=reward,
        start=start,
        device=device,
        choosing=choose_tape,
    )
    rng = generator(seed, "algo", settings.kind, "validation")
    validation = Validation(experience(choose_tape, terms), settings.validation, rng)
    with seeded():
        student = build(course)
        look = Look(validation, student, progress)
        boundary = Boundary(look, keeper)
        boundary.resume()
        # `_total_timesteps` of a resumed learner counts from the start again.
        remaining = student.total - (student.model.num_timesteps if boundary.resumed else 0)
        if not look.stopped and remaining > 0:
            student.model.learn(
                total_timesteps=remaining,
                callback=[look, boundary],
                log_interval=None,
                reset_num_timesteps=not boundary.resumed,
            )
        look.finish()
    policy = finished(course, look, boundary.elapsed())
    keeper.finish(policy)
    return policy


@contextmanager
def seeded() -> Iterator[None]:
    """Run on one thread, and give the global random states back as they were.

    Stable-Baselines3 seeds Python, numpy and torch globally; nobody else's numbers may depend on that. One
    thread, because two were measured five times slower on a busy machine, and sums would differ.
    """
    threads, python = torch.get_num_threads(), random.getstate()
    legacy = np.random.get_state()  # noqa: NPY002 - what Stable-Baselines3 seeds
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(threads)
        random.setstate(python)
        np.random.set_state(legacy)  # noqa: NPY002


def cosine(start: float, end: float) -> Callable[[float], float]:
    """Return a step size that falls from `start` to `end` as half a cosine, of the share that remains."""
    return lambda remaining: end + (start - end) * 0.5 * (1.0 - math.cos(math.pi * min(max(remaining, 0.0), 1.0)))


def sparsify(optimizer: torch.optim.Optimizer, networks: list[torch.nn.Sequential], strength: float) -> None:
    """Let every step of `optimizer` end with a group lasso on the market columns the networks read.

    Each such column of a first layer is shortened by `strength` times the step size, down to nothing. Many of
    150 columns say nothing, and a few hundred sessions cannot tell a network so: without this it learned
    30,000 rows of 160 columns by heart; with it, columns have to earn their place at every step.

    Source: Yuan and Lin (2006), Model selection and estimation in regression with grouped variables.
    """
    matrices = [network[0].weight for network in networks]

    def shrink(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        by = strength * optimizer.param_groups[0]["lr"]
        with torch.no_grad():
            for matrix in matrices:
                columns = matrix[:, :-1]
                columns.mul_((1.0 - by / columns.norm(dim=0).clamp_(min=1e-12)).clamp_(min=0.0))

    if strength > 0:
        optimizer.register_step_post_hook(shrink)


def layers_of(*networks: torch.nn.Sequential) -> Layers:
    """Return (matrix, bias) of the linear layers of networks applied one after the other."""
    return [(p.weight.detach().cpu().numpy().copy(), p.bias.detach().cpu().numpy().copy()) for p in _linear(networks)]


def _linear(networks: tuple[torch.nn.Sequential, ...]) -> list[torch.nn.Linear]:
    return [part for network in networks for part in network if isinstance(part, torch.nn.Linear)]


def adopt(policy: TrainedPolicy, *networks: torch.nn.Sequential) -> None:
    """Give the linear layers of networks applied one after the other the weights of a policy.

    Raises
    ------
    ArtefactMismatch : if their shapes differ.
    """
    linear = _linear(networks)
    shapes = [tuple(part.weight.shape) for part in linear]
    found = [matrix.shape for matrix, _ in policy.layers]
    if shapes != found:
        raise ArtefactMismatch(f"policy {policy.algo} has layers {found}, the learner {shapes}; use the same network")
    with torch.no_grad():
        for part, (matrix, bias) in zip(linear, policy.layers, strict=True):
            part.weight.copy_(torch.from_numpy(matrix))
            part.bias.copy_(torch.from_numpy(bias))


def _looks(settings: ValidationSettings, total: int) -> list[float]:
    """Return the steps of all looks but the last, which `finish` takes."""
    n = settings.checkpoints
    share = [settings.first_look + (1.0 - settings.first_look) * i / max(n - 1, 1) for i in range(n)]
    return [max(1.0, part * total) for part in share[:-1]]


class Look(BaseCallback):
    """Looks at the learner at checkpoints, tells the progress, and ends training that has gone stale.

    Parameters
    ----------
    validation : keeps the checkpoints
    student : the learner
    progress : hears of each look
    """

    def __init__(self, validation: Validation, student: Student, progress: Progress) -> None:
        super().__init__()
        self.validation, self.student, self.progress = validation, student, progress
        self.total, self.looks, self.stopped, self.looking_s = student.total, 0, False, 0.0
        self.due = _looks(validation.settings, student.total)
        self.curve: list[dict[str, Any]] = []

    def _on_training_start(self) -> None:
        self.progress(self.model.num_timesteps, self.total, {})

    def _on_step(self) -> bool:
        if self.looks < len(self.due) and self.num_timesteps >= self.due[self.looks]:
            self._look(self.num_timesteps)
            self.stopped = self.validation.is_stale()
        return not self.stopped

    def finish(self) -> None:
        """Take the last look, unless training ended at one."""
        if not self.stopped:
            self._look(self.total)

    def _look(self, step: int) -> None:
        self.looks += 1
        started = time.process_time()
        breach = self.student.breach() if self.student.breach else 0.0
        policy = self.student.policy()
        seen = self.validation.see(step, policy, breach)
        rows = len(self.validation.experience)
        figures = {
            "step": float(step),
            "profit_cents_per_bar": seen.profit / rows,
            "trades_per_1000_bars": 1000.0 * seen.trades / rows,
            **self.student.figures(),
        }
        self.curve.append(figures)
        self.looking_s += time.process_time() - started
        # Told, but not part of the curve: a clock's figure would make two equal trainings differ.
        self.progress(step, self.total, {**figures, "policy": policy, "looking_s": self.looking_s})

    def state(self) -> dict[str, Any]:
        """Return what has been seen so far."""
        seen = [
            {
                "step": c.step,
                "layers": [list(pair) for pair in c.policy.layers],
                "blocks": c.blocks,
                "trades": c.trades,
                "breach": c.breach,
            }
            for c in self.validation.candidates
        ]
        return {
            "looks": self.looks,
            "stopped": self.stopped,
            "curve": self.curve,
            "candidates": seen,
            "rng": self.validation.rng.bit_generator.state,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Have seen what `state` says."""
        self.looks, self.stopped, self.curve = state["looks"], state["stopped"], list(state["curve"])
        self.validation.rng.bit_generator.state = state["rng"]
        shape = self.student.policy()
        for seen in state["candidates"]:
            layers = tuple((matrix, bias) for matrix, bias in seen["layers"])
            policy = replace(shape, layers=layers)
            self.validation.candidates.append(
                Candidate(
                    step=seen["step"],
                    policy=policy,
                    blocks=seen["blocks"],
                    trades=seen["trades"],
                    breach=seen["breach"],
                )
            )


class Boundary(BaseCallback):
    """Saves the whole state between two rollouts when its keeper asks for it, and ends training when it must.

    Parameters
    ----------
    look : what has been seen belongs to the state
    keeper : where the state is kept
    """

    def __init__(self, look: Look, keeper: Keeper) -> None:
        super().__init__()
        self.look, self.keeper, self.resumed = look, keeper, False
        self._before, self._started = 0.0, time.process_time()

    def elapsed(self) -> float:
        """CPU time of the training, its interruptions left out [s]."""
        return self._before + time.process_time() - self._started

    def resume(self) -> None:
        """Go on from what the keeper has, if anything."""
        state = self.keeper.load()
        if state is not None:
            checkpoint.restore(self.look.student.model, state["model"])
            self.look.restore(state["look"])
            self._before, self.resumed = state["cpu_s"], True

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        stopping = self.keeper.is_stopping()
        if stopping or self.keeper.is_due():
            model = checkpoint.capture(self.model)
            self.keeper.save({"model": model, "look": self.look.state(), "cpu_s": self.elapsed()})
        if stopping:
            raise KeyboardInterrupt


def finished(course: Course, look: Look, seconds: float) -> TrainedPolicy:
    """Choose among the checkpoints and return the policy with its card.

    Beside the rest the card says `breach`, by how much the chosen checkpoint breaks the limit (None: there is none),
    and `abstains_because`: "luck", "limit" (no checkpoint kept it) or None.
    """
    choice = look.validation.choose()
    policy = choice.candidate.policy
    rows = len(look.validation.experience)
    breach = choice.candidate.breach if look.student.breach else None
    # A broken limit is told before luck: it would keep the policy out whatever it earned.
    because = "limit" if look.student.strict and choice.candidate.breach > 0 else "luck" if choice.abstains else None
    card = {
        "algo": course.settings.kind,
        "settings": asdict(course.settings),
        "reward": asdict(course.reward) if course.reward else None,
        "seed": course.seed,
        "curve": look.curve,
        "cpu_s": round(seconds, 3),
        "steps": look.total,
        "stopped_early": look.stopped,
        "selected_step": choice.candidate.step,
        "validation_rows": rows,
        "validation_profit_cents_per_bar": choice.candidate.profit / rows,
        "validation_trades": choice.candidate.trades,
        "chance": choice.chance,
        "breach": breach,
        "abstains": because is not None,
        "abstains_because": because,
        "weights_sha256": policy.digest,
        **look.student.card(),
    }
    return replace(policy, abstains=because is not None, card=card)
