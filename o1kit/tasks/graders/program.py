"""`run_program`: runs Python code that nobody has read, in a process that can do little and is ended in time."""

from __future__ import annotations

import os
import resource
import selectors
import signal
import subprocess
import sys
import time
from contextlib import suppress
from functools import partial
from typing import Literal, NamedTuple

from o1kit.tasks.graders.landlock import libraries
from o1kit.tasks.graders.syscalls import confine

OPEN_FILES = 32
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
"""All that the program finds in its environment."""
BYTES_AT_ONCE = 65536


class Limits(NamedTuple):
    """What one run may take."""

    timeout_s: float
    memory_mb: int
    output_kb: int


class Ran(NamedTuple):
    """How a program ended, and what it had printed by then."""

    end: Literal["done", "failed", "timeout", "output"]
    output: bytes = b""


def run_program(code: str, stdin: str, limits: Limits) -> Ran:
    """Runs the code with `python -I` and reads what it prints.

    The process has its own session, no environment, `/` as its folder, limits on processor time, memory, open files
    and output, and the filters of `syscalls` and, where the kernel has it, of `landlock`. Nothing is written to disk,
    neither by it nor for it. It dies with the caller. Code or input that no file could hold (lone surrogates) ends as
    `failed`. The caller should have one thread only, as the workers have.

    Raises:
        OSError: the process cannot be started or confined.
    """
    try:
        texts = code.encode(), stdin.encode()
    except UnicodeEncodeError:
        return Ran("failed")
    rules = libraries()
    program, given = (_readable(text) for text in texts)
    try:
        process = subprocess.Popen(
            [sys.executable, "-I", "-B", f"/proc/self/fd/{program}"],
            stdin=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            pass_fds=(program,),
            env=ENVIRONMENT,
            cwd="/",
            start_new_session=True,
            preexec_fn=partial(_prepare, limits, os.getpid(), rules),
        )
    finally:
        os.close(program)
        os.close(given)
    try:
        output, end = _read(process, limits)
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        status = process.wait()
    if end is not None:
        return Ran(end, output)
    if status in (-signal.SIGXCPU, -signal.SIGKILL):
        return Ran("timeout", output)
    return Ran("done" if status == 0 else "failed", output)


def _prepare(limits: Limits, parent: int, rules: int | None) -> None:
    """Between fork and exec: limits first, as the filter forbids to change them."""
    seconds = max(1, -int(-limits.timeout_s // 1))
    for kind, value in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, limits.memory_mb * 2**20),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
    ):
        hard = resource.getrlimit(kind)[1]
        most = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (most, most))
    confine(signal.SIGKILL, rules)
    if os.getppid() != parent:  # it ended before its end could be heard of
        os._exit(1)


def _readable(content: bytes) -> int:
    """Descriptor of a file in memory that can only be read."""
    descriptor = os.memfd_create("o1kit")
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        return os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY)
    finally:
        os.close(descriptor)


def _read(process: subprocess.Popen[bytes], limits: Limits) -> tuple[bytes, Literal["timeout", "output"] | None]:
    """What the process prints until it ends, and which limit it met, if any."""
    assert process.stdout is not None
    deadline = time.monotonic() + limits.timeout_s
    output = bytearray()
    with process.stdout as pipe, selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while (left := deadline - time.monotonic()) > 0:
            if not selector.select(left):
                break
            piece = os.read(pipe.fileno(), BYTES_AT_ONCE)
            output += piece
            if len(output) > limits.output_kb * 1024:
                return bytes(output[: limits.output_kb * 1024]), "output"
            if not piece:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.0, deadline - time.monotonic()))
                    return bytes(output), None
                break
    return bytes(output), "timeout"
