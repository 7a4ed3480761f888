"""PPO on many accounts at once. Called through mia.algo.learner("ppo")."""

from typing import Any, TypeVar

import torch
from stable_baselines3 import PPO

from mia.algo.learning import Course, Student, adopt, cosine, layers_of, sparsify, teach
from mia.algo.policy import TrainedPolicy
from mia.algo.progress import Progress, silent
from mia.algo.settings import PPOSettings
from mia.broker.terms import Terms
from mia.desk.tape import Tape
from mia.domain.rng import generator
from mia.env.trading_vec_env import TradingVecEnv
from mia.risk.limits import unlimited

Model = TypeVar("Model", bound=PPO)


def train(
    tape: Tape, terms: Terms, settings: PPOSettings, seed: int, progress: Progress = silent, **more: Any
) -> TrainedPolicy:
    """Learn on a training fold and choose a checkpoint on its last rows; all parameters are those of `teach`."""
    return teach(build, tape, terms, settings, seed, progress, **more)


def build(course: Course) -> Student:
    """Return the learner."""
    model, bar_cents = model_of(course, PPO), course.experience.bar_cents
    return Student(model=model, total=total_of(course.settings), policy=lambda: policy_of(model, "ppo", bar_cents))


def total_of(settings: PPOSettings) -> int:
    """Return the frames of a training, whole rollouts."""
    per_rollout = settings.accounts * settings.rollout_rows
    return -(-settings.frames // per_rollout) * per_rollout


def warmup_of(settings: PPOSettings) -> int:
    """Return the steps of each account over which costs rise."""
    return round(settings.cost_warmup * total_of(settings) / settings.accounts)


def model_of(course: Course, kind: type[Model], **more: Any) -> Model:
    """Return a model on `settings.accounts` accounts that walk the tape; `more` goes to `kind`."""
    settings, seed = course.settings, course.seed
    env = TradingVecEnv(
        course.tape,
        course.terms,
        unlimited(),
        course.experience.reward,
        n_envs=settings.accounts,
        seed=seed,
        episode_sessions=settings.episode_sessions,
        dropout=settings.group_dropout,
        cost_warmup=0 if course.start is not None else warmup_of(settings),
    )
    widths = list(settings.network)
    model = kind(
        "MlpPolicy",
        env,
        learning_rate=cosine(settings.learning_rate, settings.final_learning_rate),
        n_steps=settings.rollout_rows,
        batch_size=settings.batch_frames,
        n_epochs=settings.epochs,
        gamma=settings.discount,
        gae_lambda=settings.trace,
        clip_range=settings.clip,
        ent_coef=settings.entropy,
        vf_coef=settings.value_weight,
        max_grad_norm=settings.gradient_clip,
        policy_kwargs={
            "net_arch": {"pi": widths, "vf": widths},
            "activation_fn": torch.nn.Tanh,
            "optimizer_class": torch.optim.AdamW,
            "optimizer_kwargs": {"weight_decay": settings.weight_decay, "eps": 1e-5, "fused": True},
        },
        seed=int(generator(seed, "algo", "ppo", "network").integers(2**31)),
        device=course.device,
        **more,
    )
    extractor = model.policy.mlp_extractor
    sparsify(model.policy.optimizer, [extractor.policy_net, extractor.value_net], settings.input_sparsity)
    if course.start is not None:
        adopt(course.start, *networks_of(model))
    return model


def networks_of(model: PPO) -> tuple[torch.nn.Sequential, torch.nn.Sequential]:
    """Return the networks whose product is the policy's three scores."""
    return model.policy.mlp_extractor.policy_net, torch.nn.Sequential(model.policy.action_net)


def policy_of(model: PPO, algo: str, value_cents: float) -> TrainedPolicy:
    """Return the present policy."""
    return TrainedPolicy(
        algo=algo,
        layers=tuple(layers_of(*networks_of(model))),
        activation="tanh",
        n_quantiles=0,
        value_cents=value_cents,
        abstains=False,
        card={},
    )
