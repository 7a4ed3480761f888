"""The compiled network computes what torch computes, and a row's action never depends on its batch."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from mia.algo.compiled_policy import pack, scores
from mia.algo.learning import layers_of
from mia.algo.policy import TrainedPolicy
from mia.domain.rng import generator

HELD = np.array([-1.0, 0.0, 1.0], dtype=np.float32)


def network(widths, activation, seed=0):
    torch.manual_seed(seed)
    parts = []
    for a, b in pairwise(widths):
        parts += [torch.nn.Linear(a, b), activation()]
    return torch.nn.Sequential(*parts[:-1])


def observations(rows, width):
    return generator(1, "test").standard_normal((rows, width)).astype(np.float32)


CASES = [
    ((17, 64, 64, 9), torch.nn.ReLU, "relu"),
    ((161, 256, 128, 64, 153), torch.nn.ReLU, "relu"),
    ((33, 128, 64, 3), torch.nn.Tanh, "tanh"),
    ((5, 3), torch.nn.ReLU, "relu"),
]


@pytest.mark.parametrize(("widths", "activation", "name"), CASES)
def test_outputs_equal_torch_within_rounding(widths, activation, name):
    net, obs = network(widths, activation), observations(500, widths[0] - 1)
    out = pack(layers_of(net), name).forward(obs, HELD)
    for p, held in enumerate(HELD):
        with torch.no_grad():
            expected = net(torch.from_numpy(np.column_stack([obs, np.full(len(obs), held)]))).numpy()
        np.testing.assert_allclose(out[:, p], expected, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("quantiles", [0, 51])
def test_actions_equal_torch_on_4096_rows_but_for_ties(quantiles):
    net = network((41, 64, 64, 3 * max(quantiles, 1)), torch.nn.ReLU)
    obs = observations(4096, 40)
    network_scores = scores(layers_of(net), "relu", quantiles)
    actions = network_scores.forward(obs, HELD).argmax(axis=2)
    for p, held in enumerate(HELD):
        with torch.no_grad():
            values = net(torch.from_numpy(np.column_stack([obs, np.full(4096, held)])))
            if quantiles:
                values = values.view(-1, quantiles, 3).mean(dim=1)
        values = values.numpy()
        different = np.flatnonzero(values.argmax(axis=1) != actions[:, p])
        top = np.sort(values[different], axis=1)
        assert np.all(top[:, 2] - top[:, 1] < 1e-5)
        assert len(different) < 10


@pytest.mark.parametrize(("widths", "activation", "name"), CASES)
def test_batch_equals_single_row_bit_for_bit(widths, activation, name):
    compiled, obs = pack(layers_of(network(widths, activation)), name), observations(300, widths[0] - 1)
    batch = compiled.forward(obs, HELD)
    for t in range(0, 300, 7):
        for p in range(3):
            assert np.array_equal(compiled.forward(obs[t : t + 1], HELD[p : p + 1])[0, 0], batch[t, p])
    reverse = compiled.forward(obs[::-1], HELD[::-1])[::-1, ::-1]
    assert np.array_equal(reverse, batch)


def policy(quantiles=7, abstains=False):
    layers = layers_of(network((21, 32, 3 * max(quantiles, 1)), torch.nn.ReLU))
    return TrainedPolicy(
        algo="qr_dqn",
        layers=tuple(layers),
        activation="relu",
        n_quantiles=quantiles,
        value_cents=10.0,
        abstains=abstains,
        card={},
    )


def test_table_decide_and_predict_agree():
    obs, p = observations(200, 20), policy()
    table = p.table(obs, np.array([-1.0, 0.0, 1.0]))
    assert set(np.unique(table)) == {-1.0, 0.0, 1.0}
    for i, held in enumerate((-1.0, 0.0, 1.0)):
        assert [p.decide(row, held) for row in obs] == table[:, i].tolist()
        full = np.column_stack([obs, np.full(200, held)])
        actions, state = p.predict(full, state="memory", deterministic=True)
        assert np.array_equal(actions - 1, table[:, i])
        assert state == "memory"
        single, _ = p.predict(full[3])
        assert single.shape == ()
        assert single == actions[3]


def test_quantiles_average_to_the_scores_decisions_are_made_by():
    obs, p = observations(50, 20), policy()
    full = np.column_stack([obs, np.zeros(50)])
    means = p.quantiles(full).mean(axis=1)
    assert p.quantiles(full).shape == (50, 7, 3)
    assert np.array_equal(means.argmax(axis=1) - 1, p.table(obs, np.zeros(1))[:, 0])


def test_abstaining_policy_is_flat_whatever_it_sees():
    p = policy(abstains=True)
    assert not p.table(observations(50, 20), np.array([-1.0, 0.0, 1.0])).any()
    assert p.decide(observations(1, 20)[0], 1.0) == 0.0
    assert p.predict(observations(2, 21))[0].tolist() == [1, 1]
