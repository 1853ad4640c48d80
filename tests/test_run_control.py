"""A whole run under control, as a user has it: detached, watched, stopped, killed, resumed, forked. Real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from o1kit.artifacts import sha256_of
from o1kit.control.process import send, wait_for_end
from o1kit.control.records import last_attempt
from o1kit.control.state import look

pytestmark = pytest.mark.slow
TEXT = """\
o1kit: 1
name: base
model: {kind: scratch, hidden_size: 16, intermediate_size: 16, num_layers: 1, num_heads: 2, num_kv_heads: 2}
tasks:
  train: {num_problems: 40, sources: [{kind: jsonl, path: x.jsonl, thought_field: thought}]}
stages:
  - {kind: sft, name: sft, steps: 8, batch_size: 4}
  - {kind: sft, name: more, policy: sft, steps: 600, batch_size: 4, checkpoint_every: 25}
tracking: {wandb: {mode: disabled}}
"""
ROW = '{"question": "%d+1", "answer": "%d", "thought": "%d+1=%d"}\n'


def o1kit(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-m", "o1kit", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)
    assert "Traceback" not in done.stderr, done.stderr
    return done


def good(folder: Path, *words: str) -> str:
    done = o1kit(folder, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def until_step(folder: Path, step: int) -> None:
    """Waits until the second stage is so far."""
    end, path = time.monotonic() + 90, folder / "runs" / "base" / "status.json"
    while time.monotonic() < end:
        beat = json.loads(path.read_text())
        if beat["stage"] == "more" and beat["done"] >= step:
            return
        time.sleep(0.05)
    raise AssertionError((folder / "runs/base/run.log").read_text())


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "r.yaml").write_text(TEXT)
    (tmp_path / "x.jsonl").write_text("".join(ROW % (i, i + 1, i, i + 1) for i in range(60)))
    yield tmp_path
    attempt = last_attempt(tmp_path / "runs" / "base")
    if attempt is not None:
        send(attempt.process, signal.SIGKILL)


def test_a_run_that_was_detached_stopped_killed_and_resumed_ends_as_one_that_was_not(folder: Path) -> None:
    run = folder / "runs" / "base"
    told = good(folder, "run", "r.yaml", "--detach")
    pid = int(told.split("process: ")[1].split()[0])
    assert f"stop:   o1kit stop {Path('runs/base')}" in told
    assert os.getsid(pid) == pid, "a session of its own: the terminal's end does not reach it"
    assert o1kit(folder, "run", "r.yaml", "--detach").returncode == 3, "one process a run"
    until_step(folder, 30)
    seen = json.loads(good(folder, "status", "base", "--json"))[0]
    assert (seen["state"], seen["pid"], seen["stage"], seen["finished"]) == ("running", pid, "more", ["sft"])
    assert "base: stopped" in good(folder, "stop", "base")
    stopped = look(run)
    assert (stopped.state, stopped.exit_code) == ("stopped", 143)
    # From elsewhere, and killed this time.
    (folder / "else").mkdir()
    told = good(folder / "else", "resume", str(run), "--detach")
    until_step(folder, int(stopped.done or 0) + 30)
    attempt = last_attempt(run)
    assert attempt is not None and attempt.number == 2
    os.kill(attempt.process.pid, signal.SIGKILL)
    assert wait_for_end(attempt.process, 20)
    assert look(run).state == "died"
    log = (run / "run.log").read_text()
    assert "resuming at stage more, step " in log and "; will stop at step 600" in log
    assert "resuming at stage more" in good(folder, "resume", "base")
    assert look(run).state == "finished"
    assert "nothing to go on with" in o1kit(folder, "resume", "base").stderr
    assert [json.loads((run / f"attempts/{n}.json").read_text())["exit_code"] for n in (1, 2, 3)] == [143, None, 0]
    # The oracle: a fork that does the interrupted stage again, in one go.
    made = good(folder, "fork", "base", "clean", "--stage", "more")
    assert "taken over: sft" in made and "to run:     more" in made
    clean, done = folder / "runs" / "clean", (run / "sft" / "done.json").read_bytes()
    assert "sft: already done, skipped" in good(folder, "resume", "clean")
    assert (clean / "sft" / "done.json").read_bytes() == done
    assert sha256_of(clean / "more" / "model.safetensors") == sha256_of(run / "more" / "model.safetensors")
