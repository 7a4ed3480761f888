"""Finished runs as they lie on disk, made up for tests of what reads them: summary.json, Hydra's record, the ledger."""

import json
from pathlib import Path

import yaml

from mia.evaluation.ledger import TrialLedger

WORLD = {"name": "yardstick", "kind": "yardstick", "signal": 0.1}
FILES = {"name": "files", "kind": "files", "path": "bars.parquet"}
SIMULATED = {"name": "simulated", "kind": "simulated", "alpha": 0.2}


def leave(outputs: Path, algo: str, seed: int, *, source=WORLD, market="WORLD", data="d" * 64, config=(), **summary):
    """Write one run below outputs/runs and return its folder."""
    folder = outputs / "runs" / "2026-01-05" / f"{len(list(outputs.glob('runs/*/*'))):03}-{market}-{algo}"
    (folder / ".hydra").mkdir(parents=True)
    composed = {
        "seed": seed,
        "source": source,
        "algo": {"name": algo, "network": [64, 64]},
        "reward": {"name": "pnl"},
        "evaluation": {"name": "walk_forward", "n_folds": 3, "bootstrap_samples": 200},
        **dict(config),
    }
    (folder / ".hydra" / "config.yaml").write_text(yaml.safe_dump(composed, sort_keys=False))
    content = {
        "market": market,
        "algo": algo,
        "source": source["name"],
        "seed": seed,
        "data_digest": data,
        "digest": f"{algo}-{seed}-{len(config)}-{market}-{data[:4]}",
        **summary,
    }
    (folder / "summary.json").write_text(json.dumps(content))
    return folder


def world(outputs: Path, algo: str, seed: int, fraction, **more):
    """Leave a run on the yardstick that reached this fraction of the optimum."""
    return leave(outputs, algo, seed, known_world={"fraction": fraction, "achieved": -0.01}, **more)


def limited(outputs: Path, algo: str, seed: int, fraction, cvar_high, **more):
    """Leave a run on a world whose worst sessions may lose 2 units, with the upper end of its CVaR's interval."""
    risk = {"cvar": cvar_high - 0.1, "cvar_low": cvar_high - 0.2, "cvar_high": cvar_high, "limit": 2.0}
    source = more.pop("source", {"name": "cmdp", "kind": "cmdp", "limit": 2.0})
    return leave(outputs, algo, seed, source=source, known_world={"fraction": fraction, **risk}, **more)


def market(outputs: Path, algo: str, seed: int, daily, *, baselines=None, source=FILES, **more):
    """Leave a market run and its line in the ledger."""
    daily = [float(value) for value in daily]
    data = more.setdefault("data", "d" * 64)
    book = TrialLedger(outputs / "trials.sqlite")
    number = book.begin(
        market="MNQ", algo=algo, seed=seed, config_digest="c", data_digest=data, started_at="2026-01-05T09:30:00Z"
    )
    mean = sum(daily) / len(daily)
    spread = (sum((value - mean) ** 2 for value in daily) / (len(daily) - 1)) ** 0.5
    sharpe = mean / spread * 252**0.5 if spread else 0.0
    book.complete(number, daily_net_usd=daily, sharpe=sharpe)
    days = {"daily_net_usd": {"policy": daily, **baselines}} if baselines is not None else {}
    return leave(
        outputs,
        algo,
        seed,
        source=source,
        market="MNQ",
        oos={"net_usd": sum(daily), "sharpe": sharpe},
        folds=[
            {"test_from": "2025-02-03", "test_to": "2025-02-14"},
            {"test_from": "2025-02-17", "test_to": "2025-03-28"},
        ],
        trials=book.trials("MNQ"),
        **days,
        **more,
    )
