from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time

import psutil
import pytest
from planted_scorers import DiesWhilePreparing, Planted

from o1kit.errors import EnvironmentFailure
from o1kit.rewards.pool import Job, ScoringPool
from o1kit.types import GroundTruth

pytestmark = pytest.mark.slow

TRUTH = GroundTruth("planted/0", "right")


def jobs(*answers: str | None) -> list[Job]:
    return [Job(Planted, TRUTH, answer) for answer in answers]


def outcomes(pool: ScoringPool, *answers: str | None) -> list[str]:
    return [verdict.outcome for verdict in pool.judge(jobs(*answers))]


def test_outcomes_keep_the_order_of_the_jobs(pool: ScoringPool) -> None:
    commands = ["right", "wrong", None, "raise", "right"] * 100
    expected = ["right", "wrong", "no_answer", "error", "right"] * 100
    assert outcomes(pool, *commands) == expected


def test_nothing_to_judge_is_nothing(pool: ScoringPool) -> None:
    assert pool.judge([]) == []


@pytest.mark.parametrize(
    ("command", "outcome"),
    [("nearly", "wrong"), ("over", "wrong"), ("wrong", "wrong"), ("nan", "error"), ("two", "error")],
)
def test_only_exactly_full_credit_is_right(pool: ScoringPool, command: str, outcome: str) -> None:
    assert outcomes(pool, command) == [outcome]


def test_partial_credit_is_kept(pool: ScoringPool) -> None:
    assert pool.judge(jobs("wrong"))[0].credit == 0.25


@pytest.mark.parametrize("command", ["spin", "swallow", "ignore_alarm", "big_power"])
def test_a_hang_is_a_timeout_and_the_rest_is_still_judged(pool: ScoringPool, command: str) -> None:
    start = time.monotonic()
    assert outcomes(pool, "right", command, "wrong", "right") == ["right", "timeout", "wrong", "right"]
    assert time.monotonic() - start < 60, "limit 0.5 s, grace 1 s, the start of a new worker, and a busy machine"
    assert outcomes(pool, *["right"] * 50) == ["right"] * 50


@pytest.mark.parametrize("command", ["exit", "segfault", "sys_exit", "raise", "memory"])
def test_a_crash_is_an_error_and_the_rest_is_still_judged(pool: ScoringPool, command: str) -> None:
    assert outcomes(pool, "right", command, "wrong") == ["right", "error", "wrong"]
    assert outcomes(pool, *["right"] * 50) == ["right"] * 50


def test_what_scorers_print_does_not_disturb_the_replies(pool: ScoringPool) -> None:
    assert outcomes(pool, "noisy", "right") == ["right", "right"]


def test_workers_do_not_import_torch(pool: ScoringPool) -> None:
    assert outcomes(pool, "has_torch") == ["wrong"]


def test_a_scorer_that_kills_its_worker_while_loading_spoils_only_its_own_answer(pool: ScoringPool) -> None:
    truths = [TRUTH, TRUTH, GroundTruth("planted/1", "poison"), TRUTH, TRUTH]
    verdicts = pool.judge([Job(DiesWhilePreparing, truth, "right") for truth in truths])
    assert [v.outcome for v in verdicts] == ["right", "right", "error", "right", "right"]
    assert "loading" in verdicts[2].detail


def test_what_cannot_be_pickled_is_an_error(pool: ScoringPool) -> None:
    odd = GroundTruth("planted/1", "right", {"hook": lambda: None})
    verdicts = pool.judge([Job(Planted, t, "right") for t in (TRUTH, odd, TRUTH)])
    assert [v.outcome for v in verdicts] == ["right", "error", "right"]


def test_usable_from_several_threads_at_once(pool: ScoringPool) -> None:
    found: dict[int, list[str]] = {}

    def work(i: int) -> None:
        found[i] = outcomes(pool, *(["right"] * i + ["exit"] + ["wrong"] * 5))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert found == {i: ["right"] * i + ["error"] + ["wrong"] * 5 for i in range(6)}


def test_usable_from_asyncio_without_blocking_the_loop(pool: ScoringPool) -> None:
    async def main() -> tuple[list[list[str]], int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.01)
                ticks += 1

        ticking = asyncio.create_task(tick())
        found = await asyncio.gather(*(pool.judge_async(jobs("right", "spin", "wrong")) for _ in range(2)))
        ticking.cancel()
        return [[v.outcome for v in verdicts] for verdicts in found], ticks

    found, ticks = asyncio.run(main())
    assert found == [["right", "timeout", "wrong"]] * 2
    assert ticks > 10


def test_a_timeout_takes_the_scorers_children_along(pool: ScoringPool) -> None:
    assert outcomes(pool, "child") == ["timeout"]
    deadline = time.monotonic() + 30
    while any("o1kit-planted-child" in (p.info["cmdline"] or []) for p in psutil.process_iter(["cmdline"])):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_outcomes_and_restarts_are_counted() -> None:
    with ScoringPool(num_workers=1, timeout_s=0.3) as pool:
        outcomes(pool, "right", None, "wrong", "spin", "exit", "raise", "right")
        assert pool.counts == {"right": 2, "no_answer": 1, "wrong": 1, "timeout": 1, "error": 2}
        assert pool.restarts == 2


def test_a_worker_without_memory_or_of_old_age_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    with ScoringPool(num_workers=1, memory_mb=1024) as pool:
        assert outcomes(pool, "memory") == ["error"]
        assert outcomes(pool, "right", "wrong") == ["right", "wrong"]
        assert pool.restarts == 1
        monkeypatch.setattr("o1kit.rewards.pool.MAX_ANSWERS", 3)
        assert outcomes(pool, "right", "right") == outcomes(pool, "right", "right") == ["right"] * 2
        assert pool.restarts == 2


def test_starts_lazily_and_soon_and_leaves_no_process() -> None:
    before = {p.pid for p in psutil.Process().children()}
    with ScoringPool(num_workers=2) as pool:
        assert {p.pid for p in psutil.Process().children()} == before
        start = time.monotonic()
        assert outcomes(pool, "right") == ["right"]
        assert time.monotonic() - start < 30
        assert {p.pid for p in psutil.Process().children()} != before
    assert {p.pid for p in psutil.Process().children()} == before
    with pytest.raises(RuntimeError):
        pool.judge(jobs("right"))


def test_close_while_judging_ends_at_once() -> None:
    pool = ScoringPool(num_workers=1, timeout_s=30)
    ended: list[str] = []

    def work() -> None:
        with pytest.raises(RuntimeError, match="closed"):
            outcomes(pool, "right", "spin", "right")
        ended.append("closed")

    thread = threading.Thread(target=work)
    thread.start()
    time.sleep(1.0)
    start = time.monotonic()
    pool.close()
    thread.join(5)
    assert time.monotonic() - start < 30
    assert ended == ["closed"]


def test_an_unclosed_pool_does_not_keep_the_interpreter_or_its_workers() -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from planted_scorers import Planted; from o1kit.rewards.pool import Job, ScoringPool\n"
        "from o1kit.types import GroundTruth\n"
        "pool = ScoringPool(); print(pool.judge([Job(Planted, GroundTruth('a', 'b'), 'right')])[0].outcome)\n"
        "print(*(w._process.pid for w in pool._alive))"
    )
    folder = sys.modules[Planted.__module__].__file__.rpartition("/")[0]
    done = subprocess.run([sys.executable, "-c", script, folder], capture_output=True, text=True, timeout=30)
    outcome, pid = done.stdout.split()
    assert (done.returncode, outcome, done.stderr) == (0, "right", "")
    assert not psutil.pid_exists(int(pid))


def test_a_worker_that_cannot_start_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("o1kit.rewards.process._BOOT", "raise SystemExit(7)")
    with ScoringPool() as pool, pytest.raises(EnvironmentFailure, match="did not start"):
        outcomes(pool, "right")
