"""Runs seen from outside: real processes that lock, record themselves, stop, fail and are killed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from o1kit.control.attempt import Beats, recorded
from o1kit.control.find import all_runs, find_run
from o1kit.control.lock import LOCK, locked
from o1kit.control.process import Process, send, started, this_process, wait_for_end
from o1kit.control.records import LAUNCH, STATUS, Launch, read_record
from o1kit.control.state import disk, look
from o1kit.control.stopping import stop
from o1kit.control.table import lines
from o1kit.errors import EnvironmentFailure, RecipeError
from o1kit.functional import secrets
from o1kit.tracking.progress import Progress

ROOT = Path(__file__).parents[2]
Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts the worker on a folder, and waits until it has made a step."""
    processes = []

    def begin(name: str = "run", end: str = "") -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.control.worker", str(tmp_path / name), *([end] if end else [])]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        processes.append(process)
        limit = time.monotonic() + 30
        while time.monotonic() < limit and process.poll() is None:
            seen = look(tmp_path / name)
            if seen.pid == process.pid and seen.done:
                break
            time.sleep(0.02)
        return process

    yield begin
    for process in processes:
        process.kill()
        process.wait()


def stopped(folder: Path, **options: Any) -> str:
    said: list[str] = []
    stop(folder, **{"now": False, "timeout_s": 20.0, "say": said.append, **options})
    return "\n".join(said)


def edit(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_a_living_run_shows_how_far_it_is_and_stops_when_asked(tmp_path: Path, start: Start) -> None:
    process, run = start(), tmp_path / "run"
    seen = look(run)
    assert (seen.state, seen.stage, seen.unit, seen.total, seen.pid) == ("running", "a", "step", 1000, process.pid)
    assert seen.rate is not None and seen.eta_s is not None
    assert seen.eta_s == pytest.approx((1000 - (seen.done or 0)) / seen.rate)
    assert seen.metrics == {"loss": 0.5}
    assert "step" in lines([seen])[1] and "loss 0.5" in lines([seen])[2]
    with pytest.raises(EnvironmentFailure, match="another o1kit process"), locked(run):
        pass
    assert "run: stopped, asked to stop" in stopped(run)
    assert process.wait() == 143
    assert int((run / "saved").read_text()) > 0, "it could save before it ended"
    after = look(run)
    assert (after.state, after.exit_code, after.attempt) == ("stopped", 143, 1)
    assert after.ended is not None and after.started is not None and after.ended >= after.started
    with pytest.raises(RecipeError, match="not running"):
        stopped(run)


def test_a_killed_run_has_died_and_its_number_is_not_trusted(tmp_path: Path, start: Start) -> None:
    process, run = start(), tmp_path / "run"
    os.kill(process.pid, signal.SIGKILL)
    wait_for_end(Process(**json.loads((run / "attempts/1.json").read_text())["process"]), 10)
    assert look(run).state == "died", "also while nobody has asked for its exit code"
    process.wait()
    assert look(run).state == "died"
    # Now its number goes to someone else.
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        path = run / "attempts" / "1.json"
        record = json.loads(path.read_text())
        edit(path, process={**record["process"], "pid": other.pid})
        assert look(run).state == "died"
        with pytest.raises(RecipeError, match="not running"):
            stopped(run, now=True)
        assert not send(Process(**{**record["process"], "pid": other.pid}), signal.SIGKILL)
        assert other.poll() is None, "nobody else was signalled"
    finally:
        other.kill()
        other.wait()
    assert start().pid, "the dead run's lock keeps nobody out"
    assert look(run).attempt == 2
    assert look(run).state == "running"


def test_a_run_that_does_not_listen_is_killed_when_it_must_end_now(tmp_path: Path, start: Start) -> None:
    process, run = start(), tmp_path / "run"
    os.kill(process.pid, signal.SIGSTOP)
    with pytest.raises(EnvironmentFailure, match=r"still works after 0\.2 s"):
        stopped(run, timeout_s=0.2)
    stopped(run, now=True, timeout_s=1.0)
    assert process.wait() == -signal.SIGKILL
    assert look(run).state == "died"


def test_an_end_is_recorded_with_its_reason(tmp_path: Path, start: Start) -> None:
    assert start("good", "ok").wait() == 0
    assert start("bad", "error").wait() == 1, "an uncaught error of this little worker"
    good, bad = look(tmp_path / "good"), look(tmp_path / "bad")
    assert (good.state, good.exit_code, good.finished) == ("finished", 0, ("a", "b"))
    assert (bad.state, bad.exit_code, bad.detail) == ("failed", 5, "step 2: the loss is nan.")
    assert [f.name for f in all_runs(tmp_path)] == ["bad", "good"]
    (tmp_path / "good" / "b" / "done.json").unlink()
    assert look(tmp_path / "good").state == "stopped"
    assert look(tmp_path / "good").detail == "to do: b"


def test_what_cannot_be_seen_is_judged_by_its_heartbeat(tmp_path: Path, start: Start) -> None:
    process, run = start(), tmp_path / "run"
    process.kill()
    process.wait()
    path = run / "attempts" / "1.json"
    record = json.loads(path.read_text())
    edit(path, process={**record["process"], "machine": "another", "host": "another"})
    assert look(run).state == "running"
    assert look(run).detail == "on another"
    with pytest.raises(EnvironmentFailure, match="works on another"):
        stopped(run)
    edit(run / STATUS, time=time.time() - 4000)
    assert look(run).state == "stale"
    assert "67 minutes" in look(run).detail
    edit(path, process={**record["process"], "machine": "another-boot pid:[1]"})
    assert look(run).state == "died", "same host, started anew since"


@pytest.mark.parametrize("content", ["", '{"attempt": 1, "ti', "[]", '{"attempt": "x"}', "\x00" * 64])
def test_a_damaged_status_file_hides_nothing_else(tmp_path: Path, content: str) -> None:
    run = tmp_path / "run"
    (run / "attempts").mkdir(parents=True)
    attempt = {"number": 1, "process": this_process().model_dump(), "started": time.time(), "stages": ["a"]}
    (run / "attempts" / "1.json").write_text(json.dumps(attempt))
    (run / "attempts" / "2.json").write_text(content)
    (run / STATUS).write_text(content)
    with locked(run):
        assert (look(run).state, look(run).attempt, look(run).stage) == ("running", 1, "")


ODD = [
    ("process", {"pid": 10**12, "start": ""}),
    ("started", float("-inf")),
    ("started", 1e300),
    ("ended", float("nan")),
]


@pytest.mark.parametrize(("name", "value"), ODD)
def test_an_odd_number_in_a_record_ends_no_look(tmp_path: Path, name: str, value: Any) -> None:
    run = tmp_path / "run"
    (run / "attempts").mkdir(parents=True)
    process = this_process().model_dump()
    attempt = {"number": 1, "process": process, "started": time.time()}
    odd = {**process, **value} if isinstance(value, dict) else value
    (run / "attempts" / "1.json").write_text(json.dumps({**attempt, name: odd}))
    assert look(run).state == "new", "as if there were no record"
    (run / "attempts" / "1.json").write_text(json.dumps(attempt))
    beat = {
        "attempt": 1,
        "time": time.time(),
        "stages": ["a"],
        "stage": "a",
        "unit": "step",
        "total": 1e18,
        "rate": 5e-324,
    }
    for wrong in ({}, {"rate": float("inf")}, {"total": float("inf")}, {"time": float("-inf")}):
        (run / STATUS).write_text(json.dumps(beat | wrong))
        with locked(run):
            assert (look(run).state, look(run).eta_s) == ("running", None)
            assert lines([look(run)])


def test_an_odd_count_stops_no_run(tmp_path: Path) -> None:
    beats, odd = Beats(tmp_path, 1, ["a"]), Progress("step", 10)
    odd.fields = {"loss": float("nan")}
    for odd.total in (10, float("inf")):
        beats._written = 0.0
        beats.moved(odd)
    assert json.loads((tmp_path / STATUS).read_text())["metrics"] == {"loss": None}


def test_the_original_of_a_copied_folder_is_neither_shown_nor_stopped(tmp_path: Path, start: Start) -> None:
    process, copy = start(), tmp_path / "copy"
    shutil.copytree(tmp_path / "run", copy)
    assert look(tmp_path / "run").state == "running"
    assert (look(copy).state, "a copy" in look(copy).detail) == ("died", True)
    (copy / LOCK).unlink()
    with pytest.raises(RecipeError, match="is not running"):
        stopped(copy, now=True)
    assert process.poll() is None


def test_a_closed_terminal_stops_a_run_with_a_checkpoint(tmp_path: Path, start: Start) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whatever these tests run under
    try:
        process, run = start(), tmp_path / "run"
    finally:
        signal.signal(signal.SIGHUP, before)
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGHUP)  # as it happens: from the shell and from the system
    assert process.wait(20) == 129
    assert (run / "saved").is_file()
    assert (look(run).state, look(run).detail) == ("stopped", "its terminal was closed")


def test_prints_to_a_closed_terminal_are_no_errors() -> None:
    ours, theirs = os.openpty()
    code = "import os, signal, time\nfrom o1kit.control.interrupt import Interrupt\n"
    code += "with Interrupt(lambda text: print(text, flush=True)).listening() as i:\n"
    code += "    i.defer = True\n    print('ready', flush=True)\n"
    code += "    while not i.signal:\n        time.sleep(0.01)\n    print('more', flush=True)\n    os._exit(7)\n"
    command = [sys.executable, "-c", f"import signal\nsignal.signal(1, signal.SIG_DFL)\n{code}"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True)
    os.close(theirs)
    said = b""
    while not said.endswith(b"\n"):  # a terminal passes the text on before its line end
        said += os.read(ours, 8)
    assert said.split() == [b"ready"]
    os.close(ours)
    process.send_signal(signal.SIGHUP)
    assert process.wait(20) == 7


def test_texts_from_files_do_not_move_the_cursor(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "attempts").mkdir(parents=True)
    process = {**this_process().model_dump(), "pid": 0}
    attempt = {"number": 1, "process": process, "started": 1.0, "ended": 2.0, "exit_code": 1, "error": "\x1b[2Jboo"}
    (run / "attempts" / "1.json").write_text(json.dumps(attempt))
    assert not any("\x1b" in line for line in lines([look(run)]))


def test_processes_are_known_by_their_start() -> None:
    me = this_process()
    assert me.alive
    assert not me.model_copy(update={"start": "1"}).alive
    assert not me.model_copy(update={"machine": "x"}).alive
    assert not me.model_copy(update={"pid": -1}).alive
    child = subprocess.Popen([sys.executable, "-c", ""])
    end = time.monotonic() + 20
    while started(child.pid) and time.monotonic() < end:
        time.sleep(0.01)
    assert started(child.pid) == "", "ended, but not waited for: a zombie works on nothing"
    child.wait()


def test_runs_are_found_by_name_and_by_path(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name / "attempts").mkdir(parents=True)
    (tmp_path / "no-run").mkdir()
    assert find_run("first", tmp_path) == tmp_path / "first"
    assert find_run(str(tmp_path / "second"), Path("elsewhere")) == tmp_path / "second"
    with pytest.raises(RecipeError, match="Did you mean 'first'"):
        find_run("frist", tmp_path)
    with pytest.raises(RecipeError, match="no run was started"):
        find_run("no-run", tmp_path)
    assert all_runs(tmp_path / "nowhere") == []


def test_disk_counts_a_file_with_two_names_once(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(os.urandom(1 << 16))
    once = disk(tmp_path)
    os.link(tmp_path / "a", tmp_path / "b")
    assert disk(tmp_path) == once >= 1 << 16


def test_the_keys_of_changes_are_read_back_as_they_were_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "_known", {})
    secrets.remember("heldout", "${env:SPLIT}")
    launch = Launch(sets=("tasks.heldout.num_problems=5", "tracking.wandb.entity=heldout"), stages=("heldout",))
    with recorded(tmp_path, launch, ["heldout"], ["heldout"]):
        read = read_record(tmp_path / LAUNCH, Launch)
    assert read is not None
    assert read.sets == ("tasks.heldout.num_problems=5", "tracking.wandb.entity=${env:SPLIT}")
    assert read.stages == ("heldout",)
