"""The ensemble: members learn on the same rows, evidence comes from others, experts that fail weigh nothing."""

import json
from dataclasses import replace

import numpy as np
import pytest
import yaml

from mia.algo import checkpoint, ensemble, learner
from mia.algo.ensemble import TICKS, is_finite, judge, kept_rows, try_out
from mia.algo.experience import experience
from mia.algo.selection import Validation, actions_of, split, walk
from mia.algo.settings import EnsembleSettings, EvidenceSettings, VoteSettings
from mia.algo.vote import VotePolicy, leanings_of, policy_of_state, votes
from mia.desk.accounting import contracts_of
from mia.domain.errors import ArtefactMismatch, ConfigurationError, DataError
from mia.domain.rng import generator
from mia.evaluation import known_world
from mia.source import yardstick

HELD = np.array([-1.0, 0.0, 1.0])


@pytest.fixture(scope="module")
def settings(root, qr_dqn, ppo):
    """The default vote on two members that learn little, quickly."""
    values = yaml.safe_load((root / "conf/algo/ensemble.yaml").read_text(encoding="utf-8"))
    values.pop("defaults")
    members = {
        "ppo": replace(ppo, frames=4 * 4096, network=(16,)),
        "qr_dqn": replace(qr_dqn, network=(32,), quantiles=11, updates=400, updates_per_step=20),
    }
    return EnsembleSettings(
        **values
        | {
            "members": members,
            "prior": {"ppo": 0.6, "qr_dqn": 0.4},
            "vote": VoteSettings(**values["vote"]),
            "evidence": EvidenceSettings(**values["evidence"]),
        }
    )


@pytest.fixture(scope="module")
def part(tape):
    return tape.slice(0, 20_000)


@pytest.fixture(scope="module")
def taught(part, terms, settings):
    heard = []
    policy = learner("ensemble")(part, terms, settings, 100, lambda *told: heard.append(told))
    return policy, heard


@pytest.fixture(scope="module")
def trained(part, terms, qr_dqn):
    """A small expert that is good enough to be told from its mirror image."""
    quick = replace(qr_dqn, network=(32,), quantiles=11, updates=600)
    return replace(learner("qr_dqn")(part, terms, quick, 100), abstains=False)


@pytest.fixture(scope="module")
def other(part, terms, ppo):
    """One that has hardly learned, but is none that fails."""
    return replace(learner("ppo")(part, terms, replace(ppo, network=(16,), frames=10 * 4096), 100), abstains=False)


@pytest.fixture(scope="module")
def judge_rows(world_settings):
    return yardstick.world(replace(world_settings, judge_rows=20_000), 100, "judge")


@pytest.fixture(scope="module")
def kept(tape, terms, settings, qr_dqn):
    """The rows evidence comes from."""
    return experience(split(tape, kept_rows(qr_dqn.validation, settings))[1], terms)


def mirrored(policy):
    """The opposite of a discrete policy: short and long change places, seen from the opposite position."""
    first, *between, (matrix, bias) = policy.layers
    turned = first[0].copy()
    turned[:, -1] *= -1
    swap = np.arange(len(bias)).reshape(-1, 3)[:, ::-1].ravel()
    return replace(policy, layers=((turned, first[1]), *between, (matrix[swap], bias[swap])))


def always(policy, action):
    *before, (matrix, bias) = policy.layers
    wished = np.tile(np.eye(3, dtype=np.float32)[action], len(bias) // 3)
    return replace(policy, layers=(*before, (np.zeros_like(matrix), wished)))


def overflowing(policy):
    return replace(policy, layers=tuple((np.float32(3e38) * np.sign(m), b) for m, b in policy.layers))


def vote_of(members, heard, settings):
    return VotePolicy(
        algo="ensemble",
        members=members,
        weights=tuple(heard.weights.tolist()),
        prior=(1 / len(members),) * len(members),
        rule=settings.vote,
        abstains=False,
        card={},
    )


def with_settings(settings, **members):
    return replace(settings, members=members, prior=dict.fromkeys(members, 1 / len(members)))


@pytest.fixture(scope="module")
def fakes(settings, ppo):
    """Settings for members that are given, not learned."""
    return with_settings(settings, good=ppo, other=ppo, third=ppo)


def test_mirrored_policy_is_the_mirror_image(trained, kept):
    obs = kept.obs[:500]
    np.testing.assert_array_equal(mirrored(trained).table(obs, HELD), -trained.table(obs, -HELD))


@pytest.mark.parametrize(
    ("fails", "standing"),
    [(mirrored, "inverted"), (lambda p: always(p, 1), "constant"), (lambda p: always(p, 2), "constant")],
    ids=["inverted", "always flat", "always long"],
)
def test_failed_expert_gets_exactly_no_weight_and_the_vote_keeps_up(fails, standing, trained, kept, fakes, judge_rows):
    members = {"good": trained, "other": fails(trained)}
    heard = try_out(members, np.full(2, 0.5), kept, fakes)
    assert heard.standing == ("sound", standing)
    assert heard.weights.tolist() == [1.0, 0.0]
    vote = vote_of(members, heard, fakes)
    np.testing.assert_array_equal(vote.table(judge_rows.obs, HELD), trained.table(judge_rows.obs, HELD))


def test_expert_that_says_no_number_gets_exactly_no_weight(trained, kept, fakes, judge_rows):
    members = {"good": trained, "other": overflowing(trained)}
    heard = try_out(members, np.full(2, 0.5), kept, fakes)
    assert heard.standing == ("sound", "not finite")
    assert heard.weights.tolist() == [1.0, 0.0]
    vote = vote_of(members, heard, fakes)
    np.testing.assert_array_equal(vote.table(judge_rows.obs, HELD), trained.table(judge_rows.obs, HELD))


def test_vote_with_failing_experts_is_no_worse_than_its_median_member(trained, kept, fakes, judge_rows):
    for bad in ((mirrored, overflowing), (mirrored, lambda p: always(p, 0)), (overflowing, lambda p: always(p, 1))):
        members = {"good": trained, "other": bad[0](trained), "third": bad[1](trained)}
        heard = try_out(members, np.full(3, 1 / 3), kept, fakes)
        assert heard.weights.tolist() == [1.0, 0.0, 0.0]
        assert abs(heard.weights.sum() - 1) <= 1e-12
        vote = vote_of(members, heard, fakes)
        alone = sorted(known_world.judge(member, judge_rows)["fraction"] for member in members.values())
        assert known_world.judge(vote, judge_rows)["fraction"] >= alone[1]


def test_when_every_expert_has_failed_the_vote_is_flat_and_abstains(trained, kept, fakes, judge_rows, qr_dqn):
    members = {"good": mirrored(trained), "other": always(trained, 0), "third": overflowing(trained)}
    heard = try_out(members, np.full(3, 1 / 3), kept, fakes)
    assert heard.weights.tolist() == [0.0, 0.0, 0.0]
    assert not vote_of(members, heard, fakes).table(judge_rows.obs, HELD).any()
    asked = Validation(kept, qr_dqn.validation, generator(1, "test"))
    assert judge(asked, members, heard, 1).abstains


def test_evidence_is_each_members_own_walk_over_the_kept_rows(trained, other, kept, fakes):
    members = {"good": trained, "other": other}
    heard = try_out(members, np.full(2, 0.5), kept, fakes)
    for member, profits in zip(members.values(), heard.profits, strict=True):
        profit, _ = walk(actions_of(member, kept), kept.cents, kept.held)
        wanted = [piece.sum() for piece in np.split(profit, (np.arange(1, 60) * len(kept)) // 60)]
        np.testing.assert_allclose(profits, wanted, rtol=1e-12)
    assert heard.rows == len(kept)


def test_vote_of_a_block_uses_the_evidence_of_earlier_blocks_only(trained, other, kept, fakes):
    """What the vote earned until a block does not change if everything from that block on does."""
    members = {"good": trained, "other": other}
    whole = try_out(members, np.full(2, 0.5), kept, fakes)
    edge = (30 * len(kept)) // 60
    cents = kept.cents.copy()
    cents[edge:] *= -7
    other = try_out(members, np.full(2, 0.5), replace(kept, cents=cents), fakes)
    np.testing.assert_array_equal(other.vote[:30], whole.vote[:30])
    np.testing.assert_array_equal(other.trace[:31], whole.trace[:31])
    assert not np.array_equal(other.trace[31:], whole.trace[31:])


def test_profit_of_the_vote_is_that_of_a_walk_with_the_weights_of_each_block(trained, other, kept, fakes):
    members = {"good": trained, "other": other}
    heard = try_out(members, np.full(2, 0.5), kept, fakes)
    said = np.stack([leanings_of(member, kept.obs, HELD) for member in members.values()])
    edges = [*((np.arange(60) * len(kept)) // 60), len(kept)]
    weights = np.concatenate([np.tile(w, (b - a, 1)) for w, a, b in zip(heard.trace, edges, edges[1:], strict=False)])
    actions = contracts_of(votes(said, weights, fakes.vote.voice, True), 1) + 1
    profit, trades = walk(actions, kept.cents, kept.held)
    assert heard.vote.sum() == pytest.approx(profit.sum(), rel=1e-12)
    assert heard.trades == trades > 0


def test_luck_of_the_luckiest_member_is_no_skill_of_the_vote(qr_dqn, kept):
    """Ten members without skill: the vote that follows the best of them passes at about the level, not ten times it."""
    rng, passed = generator(3, "null"), 0
    asked = replace(qr_dqn.validation, level=0.1, resamples=200)
    for i in range(200):
        profits = rng.standard_normal((10, 60))
        best = profits[profits.sum(axis=1).argmax()]
        heard = ensemble.Hearing(
            weights=np.full(10, 0.1),
            trace=np.empty((0, 10)),
            standing=("sound",) * 10,
            profits=profits,
            vote=best,
            trades=0,
            rows=60,
        )
        validation = Validation(kept, asked, generator(i, "test"))
        passed += not judge(validation, dict.fromkeys(map(str, range(10))), heard, 1).abstains
    assert 0.03 < passed / 200 < 0.18


def test_trained_ensemble_says_how_it_came_about(taught, settings):
    policy, _ = taught
    card = json.loads(json.dumps(dict(policy.card)))
    assert abs(sum(policy.weights) - 1) <= 1e-12
    assert card["ensemble_weights"] == policy.weights_by_name
    assert set(card["members"]) == {"ppo", "qr_dqn"}
    assert card["members"]["ppo"]["weights_sha256"] == policy.members["ppo"].digest
    assert card["members"]["ppo"]["validation_rows"] == card["validation_rows"]
    assert len(card["evidence"]["weights"]["ppo"]) == settings.evidence.blocks
    assert card["evidence"]["weights"]["ppo"][0] == pytest.approx(0.6)
    assert card["cpu_s"] >= sum(member["cpu_s"] for member in card["members"].values()) > 0
    assert card["weights_sha256"] == policy.digest
    assert not any(member.abstains for member in policy.members.values())


def test_progress_is_shared_and_tells_the_weights_block_by_block(taught, settings):
    policy, heard = taught
    done = [step for step, _, _ in heard]
    assert done == sorted(done)
    assert {total for _, total, _ in heard} == {2 * TICKS + 60}
    assert done[-1] == 2 * TICKS + 60
    weights = [figures["ensemble_weights"] for _, _, figures in heard if "ensemble_weights" in figures]
    assert len(weights) == 61
    assert weights[0] == pytest.approx(settings.prior)
    assert weights[-1] == policy.weights_by_name
    assert {figures["member"] for _, _, figures in heard if "member" in figures} == {"ppo", "qr_dqn"}
    looks = policy.card["curve"]
    assert [look["step"] for look in looks] == sorted(look["step"] for look in looks)
    assert "profit_cents_per_bar" in looks[-1]


def test_same_seed_gives_the_same_members_whoever_else_there_is(part, terms, settings, taught):
    policy, _ = taught
    alone = replace(settings, members={"qr_dqn": settings.members["qr_dqn"]}, prior={"qr_dqn": 1.0})
    single = learner("ensemble")(part, terms, alone, 100)
    assert single.members["qr_dqn"].digest == policy.members["qr_dqn"].digest
    assert single.weights == (1.0,)
    other = learner("ensemble")(part, terms, alone, 101)
    assert other.members["qr_dqn"].digest != policy.members["qr_dqn"].digest


class OnDisk:
    """Keeps parts in files of a folder, and stops at given boundaries."""

    def __init__(self, folder, stop):
        self.folder, self.stop = folder, stop

    def part(self, name):
        return OnDisk(self.folder / name, self.stop)

    def result(self):
        state = checkpoint.read(self.folder / "policy", {})
        return policy_of_state(state) if state else None

    def finish(self, policy):
        checkpoint.write(self.folder / "policy", policy.to_state(), {})

    def load(self):
        return checkpoint.read(self.folder / "state", {})

    def is_due(self):
        return False

    def save(self, state):
        checkpoint.write(self.folder / "state", state, {})

    def is_stopping(self):
        self.stop[0] -= 1
        return self.stop[0] == 0


def test_interrupted_and_resumed_equals_uninterrupted(part, terms, settings, taught, tmp_path):
    stops = 0
    for boundary in (2, 4, 3, 10**9):
        try:
            policy = learner("ensemble")(part, terms, settings, 100, keeper=OnDisk(tmp_path, [boundary]))
        except KeyboardInterrupt:
            stops += 1
    assert stops == 3
    first = dict(taught[0].card)
    assert policy.digest == taught[0].digest
    assert policy.abstains == taught[0].abstains
    assert policy.card["evidence"] == first["evidence"]
    again = learner("ensemble")(part, terms, settings, 100, keeper=OnDisk(tmp_path, [1]))
    assert again.digest == policy.digest


def test_warm_start_begins_each_member_with_its_own_weights(part, terms, settings, taught):
    policy, _ = taught
    still = {name: replace(s, learning_rate=1e-8, final_learning_rate=0.0) for name, s in settings.members.items()}
    still = {name: replace(s, weight_decay=0.0, input_sparsity=0.0) for name, s in still.items()}
    warm = learner("ensemble")(part, terms, replace(settings, members=still), 7, start=policy)
    for name, member in policy.members.items():
        for (matrix, _), (begun, _) in zip(warm.members[name].layers, member.layers, strict=True):
            np.testing.assert_allclose(matrix, begun, atol=1e-4)
    with pytest.raises(ArtefactMismatch, match="cannot begin"):
        learner("ensemble")(part, terms, settings, 7, start=policy.members["ppo"])


def test_member_whose_weights_are_not_finite_is_left_out(part, terms, settings, taught, monkeypatch):
    policy, _ = taught
    broken = policy.members["ppo"].layers
    lost = replace(policy.members["ppo"], layers=((np.full_like(broken[0][0], np.nan), broken[0][1]), *broken[1:]))
    ready = {
        "ppo": replace(lost, card={"cpu_s": 1.0}),
        "qr_dqn": replace(policy.members["qr_dqn"], card={"cpu_s": 1.0}),
    }
    monkeypatch.setattr(ensemble, "learner", lambda kind: lambda *args, **more: ready[kind])
    assert not is_finite(lost)
    left = ensemble.train(part, terms, settings, 1)
    assert left.weights_by_name == {"qr_dqn": 1.0}
    assert left.card["ensemble_weights"] == {"qr_dqn": 1.0, "ppo": 0.0}
    assert left.card["standing"]["ppo"] == "not finite"
    ready["qr_dqn"] = ready["ppo"]
    with pytest.raises(DataError, match="not finite"):
        ensemble.train(part, terms, settings, 1)


def test_null_market_is_not_traded(world_settings, terms, settings):
    null = yardstick.null(world_settings)
    policy = learner("ensemble")(known_world.tape(yardstick.world(null, 100, "train")), terms, settings, 100)
    judged = known_world.judge(policy, yardstick.world(null, 100, "judge"), world_settings)
    assert policy.abstains
    assert judged["trades"] == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prior": {"ppo": 1.0}}, "prior"),
        ({"prior": {"ppo": 0.5, "qr_dqn": 0.6}}, "sum to 1"),
        ({"prior": {"ppo": 1.0, "qr_dqn": 0.0}}, "positive"),
        ({"members": {}}, "members"),
        ({"members": {"ppo": "sac", "qr_dqn": "x"}}, "single learner"),
        ({"kind": "ppo"}, "kind"),
        ({"members": {"../ppo": "x"}}, "plain lower-case"),
    ],
)
def test_impossible_settings_are_refused(settings, changes, words):
    with pytest.raises(ConfigurationError, match=words):
        replace(settings, **changes)


def test_ensemble_of_ensembles_is_refused(settings):
    with pytest.raises(ConfigurationError, match="single learner"):
        replace(settings, members={"ppo": settings, "qr_dqn": settings.members["qr_dqn"]})
