"""PPO on many accounts at once. Called through mia.algo.learner("ppo")."""

import time

import torch
from stable_baselines3 import PPO

from mia.algo.experience import experience
from mia.algo.learning import Look, cosine, finished, layers_of, seeded, sparsify
from mia.algo.policy import TrainedPolicy
from mia.algo.progress import Progress, silent
from mia.algo.selection import Layers, Validation, split
from mia.algo.settings import PPOSettings
from mia.broker.terms import Terms
from mia.desk.tape import Tape
from mia.domain.rng import generator
from mia.env.trading_vec_env import TradingVecEnv
from mia.reward.pnl import PnlReward
from mia.risk.limits import unlimited


def train(tape: Tape, terms: Terms, settings: PPOSettings, seed: int, progress: Progress = silent) -> TrainedPolicy:
    """Learn on a training fold and choose a checkpoint on its last rows.

    Parameters, return value and errors are those of `mia.algo.qr_dqn.train`.
    """
    learn_tape, choose_tape = split(tape, settings.validation)
    bar_cents = experience(learn_tape, terms).bar_cents
    validation = Validation(
        experience(choose_tape, terms), settings.validation, generator(seed, "algo", "ppo", "validation")
    )
    started = time.process_time()
    with seeded():
        model = build(learn_tape, terms, settings, seed, bar_cents)

        def layers() -> Layers:
            return layers_of(model.policy.mlp_extractor.policy_net, torch.nn.Sequential(model.policy.action_net))

        per_rollout = settings.accounts * settings.rollout_rows
        total = -(-settings.frames // per_rollout) * per_rollout
        look = Look(validation, layers, "tanh", 0, total, progress)
        model.learn(total_timesteps=total, callback=look, log_interval=None)
        look.finish()
    return finished("ppo", settings, seed, look, bar_cents, time.process_time() - started)


def build(tape: Tape, terms: Terms, settings: PPOSettings, seed: int, bar_cents: float) -> PPO:
    """Return the learner, ready for `learn`, on `settings.accounts` accounts that walk the tape."""
    env = TradingVecEnv(
        tape,
        terms,
        unlimited(),
        PnlReward(scale_cents=bar_cents),
        n_envs=settings.accounts,
        seed=seed,
        episode_sessions=settings.episode_sessions,
        dropout=settings.group_dropout,
    )
    widths = list(settings.network)
    model = PPO(
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
        device="cpu",
    )
    extractor = model.policy.mlp_extractor
    sparsify(model.policy.optimizer, [extractor.policy_net, extractor.value_net], settings.input_sparsity)
    return model
