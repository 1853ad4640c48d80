"""Servers that die, freeze, come back, want a key or are no servers at all: real processes, really killed."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from o1kit.decoding import Decoding
from o1kit.engines.http import HttpEngine
from o1kit.engines.policy import PromptTemplate
from o1kit.errors import EnvironmentFailure
from o1kit.protocols import Sampling
from o1kit.types import Completion
from tests.gguf_file import write_gguf
from tests.servers import Server, engine, free_port, llama_cpp
from tests.tiny import tiny

HOW = Sampling(5, Decoding(), 60)


@pytest.fixture(scope="module")
def template() -> PromptTemplate:
    return tiny(context=160)[1]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model, template = tiny(context=160)
    return write_gguf(model, template.tokenizer, tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture
def two(file: Path) -> Iterator[tuple[Server, Server]]:
    with ExitStack() as stack:
        yield stack.enter_context(llama_cpp(file, context=160)), stack.enter_context(llama_cpp(file, context=160))


async def samples(engine: HttpEngine, prompt: list[int], n: int) -> list[Completion]:
    return await engine.sample(prompt, n, HOW)


def test_a_server_killed_in_the_middle_changes_nothing(two: tuple[Server, Server], template: PromptTemplate) -> None:
    first, second = two
    prompt = template.encode("1+1=")
    expected = asyncio.run(samples(engine(template, second.url), prompt, 40))
    pool = engine(template, first.url, second.url, max_concurrency=3)

    async def work() -> list[Completion]:
        every = asyncio.ensure_future(samples(pool, prompt, 40))
        while first.process.poll() is None:
            await asyncio.sleep(0.005)
            if pool.usage.generated > 200:
                assert not every.done()
                first.process.kill()
                first.process.wait()
        return await every

    found = asyncio.run(work())
    assert [c.token_ids for c in found] == [c.token_ids for c in expected]
    assert first.url in [e.url for e in pool._pool.endpoints if not e.up]


@pytest.mark.slow
def test_a_frozen_server_is_left_and_used_again_when_it_answers(
    two: tuple[Server, Server], template: PromptTemplate
) -> None:
    first, second = two
    prompt = template.encode("1+1=")
    pool = engine(template, first.url, second.url, timeout_s=0.5)
    asyncio.run(pool.probe())
    first.freeze()
    assert len(asyncio.run(samples(pool, prompt, 4))) == 4
    second.freeze()
    with pytest.raises(EnvironmentFailure) as failed:
        asyncio.run(samples(pool, prompt, 1))
    assert failed.value.exit_code == 3
    for server in two:
        assert f"{server.url}: no answer in time (ReadTimeout)" in str(failed.value)
        server.thaw()
    assert len(asyncio.run(samples(pool, prompt, 4))) == 4


def test_a_server_that_starts_late_or_again_is_taken_up(file: Path, template: PromptTemplate) -> None:
    port, prompt = free_port(), template.encode("1+1=")
    pool = engine(template, f"http://127.0.0.1:{port}/v1")
    with pytest.raises(EnvironmentFailure, match=f"127.0.0.1:{port}/v1: ConnectError"):
        asyncio.run(pool.probe())
    for _ in range(2):
        with llama_cpp(file, context=160, port=port):
            assert len(asyncio.run(samples(pool, prompt, 2))) == 2
    with pytest.raises(EnvironmentFailure, match=r"in 3 tries:\n.*ConnectError.*\nStart the servers"):
        asyncio.run(samples(pool, prompt, 1))


def test_another_model_in_the_same_place_is_not_taken_for_the_first(file: Path, template: PromptTemplate) -> None:
    port, prompt = free_port(), template.encode("1+1=")
    pool = engine(template, f"http://127.0.0.1:{port}/v1", max_retries=1)
    with llama_cpp(file, context=160, port=port):
        assert len(asyncio.run(samples(pool, prompt, 1))) == 1
    with pytest.raises(EnvironmentFailure, match="ConnectError"):
        asyncio.run(samples(pool, prompt, 1))
    other = shutil.copy(file, file.with_name("other.gguf"))
    with (
        llama_cpp(other, context=160, port=port),
        pytest.raises(EnvironmentFailure, match=r"no longer serves '.*tiny.gguf'. It lists: .*other.gguf"),
    ):
        asyncio.run(samples(pool, prompt, 1))


def test_a_model_the_server_does_not_have(two: tuple[Server, Server], template: PromptTemplate) -> None:
    with pytest.raises(EnvironmentFailure, match=r"does not serve 'gpt-9'. It lists: .*tiny.gguf") as failed:
        asyncio.run(engine(template, two[0].url, model="gpt-9").probe())
    assert two[0].url in str(failed.value)


def test_the_key_comes_from_the_environment_and_goes_nowhere_else(
    file: Path, template: PromptTemplate, monkeypatch: pytest.MonkeyPatch
) -> None:
    with llama_cpp(file, "sesame", context=160) as server:
        with pytest.raises(EnvironmentFailure, match="api_key_env: the variable MY_KEY is not set"):
            engine(template, server.url, api_key_env="MY_KEY")
        monkeypatch.setenv("MY_KEY", "wrong-secret")
        with pytest.raises(EnvironmentFailure, match="HTTP 401") as failed:
            asyncio.run(engine(template, server.url, api_key_env="MY_KEY").probe())
        assert "wrong-secret" not in str(failed.value)
        monkeypatch.setenv("MY_KEY", "sesame")
        assert asyncio.run(engine(template, server.url, api_key_env="MY_KEY").probe()).logprobs


def test_a_cancelled_sample_is_given_up_by_the_server(two: tuple[Server, Server], template: PromptTemplate) -> None:
    server, prompt = two[0], template.encode("1+1=")
    served = engine(template, server.url)

    async def busy() -> bool:
        async with httpx.AsyncClient(trust_env=False) as client:
            slots = (await client.get(server.url.removesuffix("/v1") + "/slots")).json()
        return any(slot["is_processing"] for slot in slots)

    async def work() -> None:
        await served.probe()
        task = asyncio.ensure_future(served.sample(prompt, 400, HOW))
        while not await busy():
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        while await busy():  # would take seconds, 400 samples long, if it went on
            await asyncio.sleep(0.005)

    asyncio.run(asyncio.wait_for(work(), 20))
    assert served.usage.generated < 400 * 20


@pytest.mark.parametrize("path", ["", "/v1"])
def test_a_web_server_that_is_no_model_server(path: str, template: PromptTemplate, tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "http.server", str(port), "--bind", "127.0.0.1", "--directory", str(tmp_path)]
    web = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(200):
            try:
                httpx.get(f"http://127.0.0.1:{port}/", trust_env=False)
                break
            except httpx.HTTPError:
                asyncio.run(asyncio.sleep(0.02))
        with pytest.raises(EnvironmentFailure, match=r"lists these models: none|HTTP 501") as failed:
            asyncio.run(engine(template, f"http://127.0.0.1:{port}{path}").probe())
        assert f"http://127.0.0.1:{port}{path}: " in str(failed.value)
        with pytest.raises(EnvironmentFailure, match="HTTP 501"):
            asyncio.run(engine(template, f"http://127.0.0.1:{port}{path}", model="m").probe())
    finally:
        web.kill()
        web.wait()


def test_the_environment_s_proxy_is_not_used(
    two: tuple[Server, Server], template: PromptTemplate, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    assert asyncio.run(engine(template, two[0].url).probe()).logprobs


def test_an_engine_works_in_one_event_loop_after_another(two: tuple[Server, Server], template: PromptTemplate) -> None:
    served: Any = engine(template, two[0].url)
    runs = [asyncio.run(samples(served, template.encode("1+1="), 2)) for _ in range(3)]
    assert runs[0] == runs[1] == runs[2]
