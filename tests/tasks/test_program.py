"""Programs as answers: what they print counts; what else they try comes to nothing, and nothing of them is left."""

from __future__ import annotations

import errno
import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from benchmarks.graders import PROGRAMS, fill, grader
from o1kit.rewards.pool import Job, ScoringPool
from o1kit.tasks.graders.landlock import hides_files
from o1kit.tasks.graders.program import Limits, Ran, run_program
from o1kit.tasks.graders.syscalls import KNOWN, bpf, missing
from o1kit.types import GroundTruth

pytestmark = pytest.mark.skipif(missing() is not None, reason=f"programs cannot be confined: {missing()}")
LIMITS = Limits(timeout_s=0.3, memory_mb=256, output_kb=4)


@pytest.fixture(scope="module")
def pool() -> Iterator[ScoringPool]:
    with ScoringPool(num_workers=1, timeout_s=5.0) as pool:
        yield pool


def judged(pool: ScoringPool, answer: str, expected: str = "7", stdin: str | None = None, **options: Any) -> str:
    judge = grader("python", runs_model_code=True, **{"timeout_s": 0.3, **options})
    payload = {} if stdin is None else {"stdin": stdin}
    (verdict,) = pool.judge([Job(judge, GroundTruth("p", expected, payload), answer)])
    return verdict.outcome


@pytest.mark.parametrize(
    ("answer", "expected", "stdin", "outcome"),
    [
        ("print(3 + 4)", "7", None, "right"),
        ("Let me see.\n```python\nprint(3 + 4)\n```\nDone.", "7", None, "right"),
        ("print(int(input()) + 4)", "7", "3\n", "right"),
        ("for i in range(2):\n    print(i, ' ')\nprint()", "0\n1", None, "right"),
        ("print(8)", "7", None, "wrong"),
        ("print(' 7 8')", "7\n8", None, "wrong"),
        ("print(7); raise SystemExit(1)", "7", None, "wrong"),
        ("print(7", "7", None, "wrong"),
        ("The answer is 7.", "7", None, "wrong"),
        ("print(7)\0", "7", None, "wrong"),
        ("print('\ud800')", "7", None, "wrong"),
        ("", "7", None, "wrong"),
    ],
)
def test_what_is_printed_counts(pool: ScoringPool, answer: str, expected: str, stdin: str | None, outcome: str) -> None:
    assert judged(pool, answer, expected, stdin, timeout_s=3.0) == outcome


def test_hostile_programs_come_to_nothing(pool: ScoringPool, tmp_path: Path) -> None:
    canary, victim = tmp_path / "canary", tmp_path / "victim"
    victim.write_text("safe")
    before = psutil.Process().children()
    programs = fill(PROGRAMS, canary, victim)
    judge = grader("python", runs_model_code=True, timeout_s=0.3)
    start = time.monotonic()
    verdicts = pool.judge([Job(judge, GroundTruth("p", "7"), text) for text in programs.values()])
    assert time.monotonic() - start < 20
    assert {v.outcome for v in verdicts} == {"wrong"}
    assert judged(pool, "print(7)", timeout_s=3.0) == "right"
    assert pool.restarts == 0
    assert not canary.exists()
    assert victim.read_text() == "safe"
    left = [p for child in psutil.Process().children() for p in child.children(recursive=True)]
    assert left == []
    assert len(psutil.Process().children()) <= len(before) + 1


def simulated(program: bytes, audit: int, number: int, *arguments: int) -> int:
    """What the kernel does with a classic BPF program, over the data of one system call (linux/seccomp.h)."""
    data = struct.pack("=IIQ6Q", number, audit, 0, *arguments, *[0] * (6 - len(arguments)))
    lines = list(struct.iter_unpack("=HBBI", program))
    at = value = 0
    while True:
        code, yes, no, k = lines[at]
        at += 1
        if code == 0x20:  # load a word
            (value,) = struct.unpack_from("=I", data, k)
        elif code == 0x06:  # return
            return int(k)
        else:
            at += yes if {0x15: value == k, 0x35: value >= k, 0x45: bool(value & k)}[code] else no


@pytest.mark.parametrize(
    ("machine", "calls"),
    [
        # From the kernel's tables: read, write, mmap, execve, exit_group; then fork's kin, kill, socket, unlinkat, ...
        ("x86_64", {"allowed": (0, 1, 9, 59, 231), "denied": (56, 57, 58, 62, 41, 263, 257, 319, 101)}),
        ("aarch64", {"allowed": (63, 64, 222, 221, 94), "denied": (220, 129, 198, 35, 56, 279, 117)}),
    ],
)
def test_the_filter_on_both_architectures(machine: str, calls: dict[str, tuple[int, ...]]) -> None:
    known = KNOWN[machine]
    program = bpf(known)

    def verdict(number: int, *arguments: int) -> int:
        return simulated(program, known.audit, number, *arguments)

    for command in (8, 10, 15):  # F_SETOWN, F_SETSIG, F_SETOWN_EX: a pipe that sends signals to anyone
        assert verdict(known.fcntl, 3, command) == 0x50000 | errno.EPERM
    for command in (0, 1, 2, 3, 4, 1030, 1031):  # duplicates, flags, sizes of pipes
        assert verdict(known.fcntl, 3, command) == 0x7FFF0000

    allow, fail = 0x7FFF0000, 0x00050000
    writing = (0, 0, os.O_WRONLY | os.O_CREAT)
    assert {verdict(number) for number in calls["allowed"]} == {allow}
    assert {verdict(number, *writing) for number in calls["denied"]} == {fail | errno.EPERM}
    assert verdict(known.openat, 0, 0, os.O_RDONLY | os.O_CLOEXEC) == allow
    assert [verdict(known.openat, 0, 0, flag) for flag in (os.O_RDWR, os.O_TRUNC, os.O_TMPFILE)] == [fail | 1] * 3
    assert verdict(known.prlimit64, 0, 0, 0, 2**40) == allow
    assert verdict(known.prlimit64, 0, 0, 2**40) == verdict(known.prlimit64, 0, 0, 8) == fail | errno.EPERM
    assert {verdict(number) for number in (435, 425, 437, 434, 2**30)} == {fail | errno.ENOSYS}  # clone3, io_uring, ...
    assert verdict(436) == verdict(439) == allow
    assert verdict(known.ioctl) == fail | errno.ENOTTY
    assert simulated(program, known.audit ^ 1, 0) == 0x80000000
    assert len(program) // 8 < 4096, "the kernel takes no longer programs"


FORBIDDEN = {
    "fork": "import os; os.fork()",
    "clone": "import threading; threading.Thread(target=print).start()",
    "socket": "import socket; socket.socket()",
    "signal": "import os; os.kill(os.getppid(), 0)",
    "write": "open('{path}', 'a')",
    "create": "import os; os.open('{path}.new', os.O_CREAT)",
    "truncate": "import os; os.truncate('{path}', 0)",
    "remove": "import os; os.remove('{path}')",
    "rename": "import os; os.rename('{path}', '{path}2')",
    "link": "import os; os.symlink('{path}', '{path}2')",
    "mode": "import os; os.chmod('{path}', 0)",
    "time": "import os; os.utime('{path}')",
    "folder": "import os; os.mkdir('{path}2')",
    "attribute": "import os; os.setxattr('{path}', 'user.x', b'1')",
    "limits": "import resource; resource.setrlimit(resource.RLIMIT_CPU, (99, 99))",
    "memory of others": "import os; open(f'/proc/{os.getppid()}/mem', 'r+b')",
    "anonymous file": "import os; os.memfd_create('x')",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_forbidden_calls_fail(tmp_path: Path, what: str) -> None:
    """They raise OSError, or what the standard library makes of it."""
    path = tmp_path / "file"
    path.write_text("safe")
    code = FORBIDDEN[what].replace("{path}", str(path))
    caught = f"try:\n    {code}\n    print('done')\nexcept (OSError, RuntimeError, ValueError):\n    print('refused')"
    assert run_program(caught, "", LIMITS._replace(timeout_s=5.0)) == Ran("done", b"refused\n")
    assert path.read_text() == "safe"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(not hides_files(), reason="this kernel cannot hide files")
def test_files_that_are_not_the_interpreters_cannot_be_read(tmp_path: Path) -> None:
    """The right answers among them: a program that looks them up would be right without solving anything."""
    (tmp_path / "answers.jsonl").write_text("7")
    for path in (tmp_path / "answers.jsonl", Path(__file__), "/etc/passwd", "/proc/self/environ", "/proc/1/cmdline"):
        ran = run_program(f"print(open({str(path)!r}).read())", "", LIMITS._replace(timeout_s=5.0))
        assert ran == Ran("failed")
    code = "import os\ntry:\n    os.execv('/bin/sh', ['sh'])\nexcept OSError:\n    print('refused')"
    if not os.path.realpath("/bin/sh").startswith("/usr/lib"):
        assert run_program(code, "", LIMITS._replace(timeout_s=5.0)) == Ran("done", b"refused\n")
    library = "import decimal, json, zoneinfo, numpy; print(numpy.arange(3).sum())"
    assert run_program(library, "", LIMITS._replace(timeout_s=20.0, memory_mb=1024)) == Ran("done", b"3\n")


def test_the_environment_is_empty_and_the_folder_is_not_the_runs() -> None:
    os.environ["O1KIT_TEST_SECRET"] = "secret"
    try:
        ran = run_program(
            "import os; print(os.getcwd(), 'O1KIT_TEST_SECRET' in os.environ)", "", LIMITS._replace(timeout_s=5.0)
        )
    finally:
        del os.environ["O1KIT_TEST_SECRET"]
    assert ran == Ran("done", b"/ False\n")


@pytest.mark.parametrize(
    ("code", "end"),
    [
        ("while True: pass", "timeout"),
        ("import os, time\nos.close(1)\ntime.sleep(60)", "timeout"),
        ("while True: print('x' * 100)", "output"),
        ("bytearray(2**40)", "failed"),
        ("1/0", "failed"),
        ("print(1)", "done"),
    ],
)
def test_ends_are_told_apart(code: str, end: str) -> None:
    ran = run_program(code, "", LIMITS if end == "timeout" else LIMITS._replace(timeout_s=10.0))
    assert ran.end == end
    assert len(ran.output) <= 4 * 1024


@pytest.mark.parametrize(
    ("option", "low", "high", "code"),
    [
        ("timeout_s", 0.2, 5.0, "import time; time.sleep(0.5); print(7)"),
        ("memory_mb", 64, 512, "x = bytearray(150 * 2**20); print(7)"),
        ("output_kb", 1, 8, "print(' ' * 3000 + '7')"),
    ],
)
def test_every_limit_counts(pool: ScoringPool, option: str, low: float, high: float, code: str) -> None:
    assert judged(pool, code, **{"timeout_s": 3.0, option: low}) == "wrong"
    assert judged(pool, code, **{"timeout_s": 3.0, option: high}) == "right"


def test_a_program_dies_with_its_worker() -> None:
    judge = grader("python", runs_model_code=True, timeout_s=50.0)
    with ScoringPool(num_workers=1, timeout_s=0.3) as pool:
        (verdict,) = pool.judge([Job(judge, GroundTruth("p", "7"), "import time; time.sleep(40)  # orphan")])
    assert verdict.outcome == "timeout"
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and _running():
        time.sleep(0.05)
    assert not _running()


def _running() -> list[int]:
    """Processes of confined programs: their script is a descriptor."""
    lines = [(p.pid, p.info["cmdline"] or []) for p in psutil.process_iter(["cmdline"])]
    return [pid for pid, line in lines if "-I" in line and any("/proc/self/fd/" in part for part in line)]
