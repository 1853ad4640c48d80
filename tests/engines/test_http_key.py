"""A server that repeats the key it was given: the key is in no message, nor is a part of it."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from o1kit.engines.http.client import SHOWN, Client, Refused, Unavailable
from o1kit.engines.http.draft import Malformed
from o1kit.engines.http.reply import chunk_of
from o1kit.errors import EnvironmentFailure
from o1kit.functional.printable import printable
from tests.servers import engine
from tests.tiny import tiny

KEY = "sk-LK2fZ9-abcdefghijklmnopqrstuvwxyz-0123456"


@contextmanager
def serving(status: int, body: bytes) -> Iterator[str]:
    """A server that answers everything with the same."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        server.server_close()


def leaked(text: str, key: str) -> bool:
    return any(key[i : i + 6] in text for i in range(len(key) - 5))


@pytest.mark.parametrize("before", [0, SHOWN - 42, SHOWN - 20, SHOWN - 3])
def test_a_key_that_is_cut_is_not_shown(before: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MYK", KEY)
    said = json.dumps({"error": {"message": "x" * before + KEY, "type": "x" * before + KEY}})
    with serving(401, said.encode()) as url, pytest.raises(EnvironmentFailure, match="HTTP 401") as failed:
        asyncio.run(engine(tiny(context=160)[1], url, api_key_env="MYK").probe())
    assert not leaked(str(failed.value), KEY)


def said(key: str, status: int, body: bytes) -> str:
    """What a client with a key has to tell of a reply."""

    async def ask(url: str) -> None:
        client = Client(5.0, key, 1)
        try:
            async for _ in client.events(url, {}):
                pass
        finally:
            await client.close()

    with serving(status, body) as url, pytest.raises((Refused, Unavailable)) as failed:
        asyncio.run(ask(url))
    return f"{failed.value} {getattr(failed.value, 'kind', '')}"


@pytest.mark.parametrize("key", [KEY, 'sk-"quoted"-and-\\more\\-of-it-0123456789'])
@pytest.mark.parametrize(
    ("status", "reply"),
    [
        (200, "data: [KEY]\n"),
        (200, "data: KEY\n"),
        (200, 'data: {"error": [KEY]}\n'),
        (200, 'event: error\nerror: {"message": KEY}\n'),
        (403, '{"error": {"message": KEY, "type": KEY}}'),
        (500, '{"detail": {"sent": KEY}}'),
        (400, "no JSON: KEY"),
    ],
)
def test_no_reply_shows_the_key(key: str, status: int, reply: str) -> None:
    written = json.dumps("x" * (SHOWN - 60) + key)
    text = said(key, status, reply.replace("KEY", written).encode())
    assert "xxx" in text
    assert not leaked(text, key) and not leaked(text, json.dumps(key)[1:-1])


def test_a_key_that_was_read_is_shown_as_a_variable_wherever_it_turns_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MYK", f" {KEY}\n")
    engine(tiny(context=160)[1], "http://127.0.0.1:1/v1", api_key_env="MYK")
    assert printable(f"a model called {KEY}") == "a model called ${env:MYK}"
    reply = {"choices": [{"text": "a", "index": 0, "logprobs": {"tokens": ["a"], "token_logprobs": [KEY]}}]}
    with pytest.raises(Malformed) as failed:
        chunk_of(reply)
    assert not leaked(str(failed.value), KEY)
