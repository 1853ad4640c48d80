"""Workers of scorers that say `confined`: they judge, and can do nothing else."""

from __future__ import annotations

import pytest
from planted_scorers import DEEDS, FILE, Confined, Planted

from o1kit.rewards.pool import Job, ScoringPool
from o1kit.tasks.graders.landlock import hides_files
from o1kit.tasks.graders.syscalls import missing
from o1kit.types import GroundTruth

TRUTH = GroundTruth("planted/0", "right")
confines = pytest.mark.skipif(missing() is not None, reason=f"workers cannot be confined: {missing()}")


def outcomes(pool: ScoringPool, *answers: str) -> list[str]:
    return [verdict.outcome for verdict in pool.judge([Job(Confined, TRUTH, answer) for answer in answers])]


@confines
def test_a_confined_worker_does_nothing_but_judge(pool: ScoringPool) -> None:
    assert dict(zip(DEEDS, outcomes(pool, *DEEDS), strict=True)) == dict.fromkeys(DEEDS, "right")
    assert not FILE.with_name("o1kit-planted").exists()
    assert outcomes(pool, "import", "right", "wrong") == ["right", "right", "wrong"]


@pytest.mark.skipif(missing() is not None or not hides_files(), reason="this kernel cannot hide files")
def test_a_confined_worker_reads_only_what_can_be_imported(pool: ScoringPool) -> None:
    assert outcomes(pool, "foreign") == ["right"]


def test_a_confined_worker_does_not_know_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("O1KIT_TEST_SECRET", "secret")
    with ScoringPool(num_workers=1) as pool:
        assert outcomes(pool, "environment") == ["right"]


def test_hangs_and_crashes_of_confined_workers_are_told_as_of_others(pool: ScoringPool) -> None:
    for command, outcome in (("spin", "timeout"), ("ignore_alarm", "timeout"), ("exit", "error"), ("memory", "error")):
        assert outcomes(pool, "right", command, "wrong") == ["right", outcome, "wrong"], command


@confines
def test_both_kinds_in_one_request_keep_their_order_and_their_workers() -> None:
    jobs = [Job(scorer, TRUTH, "right") for scorer in (Planted, Confined, Confined, Planted)]
    jobs += [Job(Confined, TRUTH, "fork"), Job(Planted, TRUTH, "wrong"), Job(Confined, TRUTH, "wrong")]
    with ScoringPool(num_workers=1) as pool:
        for _ in range(2):
            found = [verdict.outcome for verdict in pool.judge(jobs)]
            assert found == ["right"] * 5 + ["wrong"] * 2
        assert sorted(worker.confined for worker in pool._alive) == [False, True]
