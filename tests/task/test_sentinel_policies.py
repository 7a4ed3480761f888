"""A sentinel's policy goes through JSON and comes back bit for bit, alone or as an ensemble."""

import json
from itertools import pairwise

import numpy as np
import pytest

from mia.algo.policy import TrainedPolicy
from mia.algo.settings import VoteSettings
from mia.algo.vote import VotePolicy, policy_of_state
from mia.domain.errors import ArtefactMismatch
from mia.domain.rng import generator
from mia.task import sentinels

RULE = VoteSettings(forgetting=0.98, edge=0.1, clip=3.0, doubt=2.0, least_blocks=10.0, patience=10, voice=0.05)


def single(seed, outputs=3, **changes):
    rng = generator(seed, "policy")
    layers = tuple(
        (rng.standard_normal((b, a)).astype(np.float32), rng.standard_normal(b).astype(np.float32))
        for a, b in pairwise((5, 8, outputs))
    )
    values = {"algo": "ppo", "layers": layers, "activation": "tanh", "n_quantiles": 0, "value_cents": 0.1}
    return TrainedPolicy(**values | {"abstains": False, "card": {"curve": [1.0]}} | changes)


POLICIES = {
    "discrete": single(1),
    "continuous": single(2, 1, actions="continuous"),
    "cautious": single(3, 12, n_quantiles=4, risk_level=0.5),
    "ensemble": VotePolicy(
        algo="ensemble",
        members={"sac": single(2, 1, actions="continuous"), "ppo": single(1)},
        weights=(1 / 3, 2 / 3),
        prior=(0.5, 0.5),
        rule=RULE,
        abstains=False,
        card={"curve": [1.0]},
    ),
}


@pytest.mark.parametrize("name", POLICIES)
def test_policy_comes_back_from_json_bit_for_bit(name):
    policy = POLICIES[name]
    # Bundles sort keys: an order that matters must not rest on them.
    text = json.dumps(sentinels._plain(policy.to_state()), allow_nan=False, sort_keys=True)
    back = policy_of_state(sentinels._with_arrays(json.loads(text)))
    assert type(back) is type(policy)
    assert back.digest == policy.digest
    assert back.card == {}
    obs = generator(4, "obs").standard_normal((50, 4)).astype(np.float32)
    held = np.array([-1.0, 0.0, 1.0])
    np.testing.assert_array_equal(back.table(obs, held), policy.table(obs, held))


@pytest.mark.parametrize(
    "found",
    [
        {},
        {"policy": {}},
        {"policy": {"layers": [[1]]}},
        {"policy": {"members": {"a": 1}}},
        {"policy": {"members": {}, "weights": [], "prior": [], "rule": {"forgetting": 9}}},
    ],
)
def test_what_is_no_sentinel_is_refused(found):
    with pytest.raises(ArtefactMismatch):
        sentinels.of_json(None, None, found)
