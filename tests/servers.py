"""Real servers as subprocesses: llama.cpp's (from `xllamacpp`) and `transformers serve`, on free local ports."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from o1kit.engines.http import HttpEngine, Vocabulary
from o1kit.engines.policy import PromptTemplate
from o1kit.models.config import HttpEngineConfig

# One thread a server: threads that wait for each other spin, and tests share their cores.
LLAMA = """
import signal, sys
import xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.port, params.hostnames = sys.argv[1], int(sys.argv[2]), ["127.0.0.1"]
params.n_ctx, params.n_parallel, params.warmup = int(sys.argv[3]), 1, False
params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
params.api_keys = sys.argv[4:]
server = xllamacpp.Server(params)
signal.pause()
"""


@dataclass
class Server:
    """A running server."""

    process: subprocess.Popen[bytes]
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def kill(self) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.kill()
        self.process.wait(10)

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def llama_cpp(gguf: Path, *keys: str, context: int = 2048, port: int = 0) -> Iterator[Server]:
    """llama.cpp's server over a GGUF file."""
    pytest.importorskip("xllamacpp")
    port = port or free_port()
    with _running([sys.executable, "-c", LLAMA, str(gguf), str(port), str(context), *keys], port) as server:
        yield server


@contextmanager
def transformers_serve(folder: Path) -> Iterator[Server]:
    """`transformers serve` over a Hugging Face folder."""
    pytest.importorskip("fastapi")
    port = free_port()
    program = str(Path(sys.executable).with_name("transformers"))
    command = [program, "serve", str(folder), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    with _running(command, port) as server:
        yield server


@contextmanager
def _running(command: list[str], port: int) -> Iterator[Server]:
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    server = Server(process, port)
    try:
        _wait(server)
        yield server
    finally:
        server.kill()


def _wait(server: Server, seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if server.process.poll() is not None:
            raise RuntimeError(f"the server ended with code {server.process.returncode}")
        try:
            if httpx.get(f"http://127.0.0.1:{server.port}/health", trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.05)
    raise TimeoutError("the server did not start")


def words(template: PromptTemplate) -> Vocabulary:
    """The vocabulary of a template, as the stages make it."""
    ends = frozenset(template.tokenizer.all_special_ids)
    return Vocabulary(template.encode, template.written, template.eos_id, ends)


def engine(template: PromptTemplate, *urls: str, context: int = 160, **options: object) -> HttpEngine:
    """An engine over servers, quick to give up."""
    settings = {"timeout_s": 20.0, "max_retries": 2, **options}
    config = HttpEngineConfig(kind="http", endpoints=list(urls), **settings)  # type: ignore[arg-type]
    return HttpEngine(config, words(template), context)
