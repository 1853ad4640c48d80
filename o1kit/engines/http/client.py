"""`Client`: bounded, cancellable requests to one endpoint, every failure sorted into refused or unavailable."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import httpx

from o1kit.functional.secrets import hide

MAX_BODY = 64 * 2**20
"""Bytes of one reply that are read; what a server sends beyond is a failure."""
MAX_LINE = 8 * 2**20
"""Bytes of one line of a stream."""
SHOWN = 300
"""Characters of a server's own words that an error repeats."""
HEALTH_TIMEOUT_S = 5.0


class Refused(Exception):
    """The server understood and said no: asking again would not help."""

    def __init__(self, status: int, message: str, kind: str = "") -> None:
        super().__init__(f"HTTP {status}: {message}" if status else message)
        self.status, self.message, self.kind = status, message, kind

    @property
    def too_long(self) -> bool:
        """True when the prompt does not fit the server's context."""
        text = f"{self.kind} {self.message}".lower()
        return "exceed_context_size" in text or ("context" in text and ("length" in text or "exceed" in text))


class Unavailable(Exception):
    """The server did not answer, or is too busy: another try, or another endpoint, may work.

    `retry_after` (seconds) is what a busy server asked for; None when it is not known to be alive.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Client:
    """HTTP to the listed endpoints and to nothing else: no redirects, no proxies, the key in no message."""

    def __init__(self, timeout_s: float, api_key: str | None, connections: int) -> None:
        self.api_key = api_key
        headers = {"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {api_key}"} if api_key else {})
        self._http = httpx.AsyncClient(
            headers=headers,
            timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, HEALTH_TIMEOUT_S), pool=None),
            # Servers close connections after a stream without a word: one used again would now and then be dead.
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=0),
            follow_redirects=False,
            trust_env=False,
        )
        self._health = httpx.Timeout(min(timeout_s, HEALTH_TIMEOUT_S), pool=None)

    async def close(self) -> None:
        """Closes all connections."""
        await self._http.aclose()

    async def get(self, url: str) -> Any:
        """The JSON behind an address, within a few seconds."""
        async with self._ask("GET", url, timeout=self._health) as response:
            return self._json(await _body(response))

    async def events(self, url: str, body: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any]]:
        """The events of a streamed reply, up to `[DONE]`; leaving early closes the connection, and the server stops."""
        async with self._ask("POST", url, json=dict(body)) as response:
            async for line in _lines(response):
                field, _, data = line.partition(b":")
                if field not in (b"data", b"error") or data.strip() in (b"", b"[DONE]"):
                    continue
                event = self._json(data)
                if not isinstance(event, dict):
                    raise Refused(0, f"sent an event that is no object: {self._shown(event)}")
                if field == b"error" or event.get("error"):
                    raise self._failure(int(_number(event, "code", 500)), event)
                yield event

    @asynccontextmanager
    async def _ask(self, method: str, url: str, **options: Any) -> AsyncIterator[httpx.Response]:
        try:
            async with self._http.stream(method, url, **options) as response:
                if response.status_code != 200:
                    text = await _body(response)
                    retry_after = response.headers.get("retry-after", "")
                    raise self._failure(response.status_code, _lenient(text), retry_after)
                yield response
        except httpx.TimeoutException as error:
            raise Unavailable(f"no answer in time ({type(error).__name__})") from None
        except httpx.HTTPError as error:
            raise Unavailable(self._clean(f"{type(error).__name__}: {error}".rstrip(": "))) from None
        except (httpx.InvalidURL, UnicodeError) as error:
            raise Refused(0, self._clean(f"not a usable address: {error}")) from None

    def _failure(self, status: int, reply: Any, retry_after: str = "") -> Refused | Unavailable:
        """408, 429 and 5xx may be tried again, everything else is final."""
        error = reply.get("error") if isinstance(reply, dict) else None
        inner = error if isinstance(error, dict) else reply if isinstance(reply, dict) else {}
        text = inner.get("message") or inner.get("detail") or error or reply
        message = self._shown(text)
        if status in (408, 429) or status >= 500:
            busy = status in (408, 429, 503)
            wait = float(retry_after) if retry_after.isdigit() else 0.0
            return Unavailable(f"HTTP {status}: {message}", wait if busy else None)
        return Refused(status, message, self._shown(inner.get("type", "")))

    def _json(self, text: bytes) -> Any:
        try:
            return json.loads(text)
        except (ValueError, RecursionError):
            raise Refused(0, f"sent what is no JSON: {self._shown(text.decode('utf-8', 'replace'))}") from None

    def _shown(self, value: Any) -> str:
        """What a server said, on one line and not too long: without the key, which a cut would make hard to find."""
        text = self._clean(value if isinstance(value, str) else json.dumps(value, default=str))
        text = "".join(c if c.isprintable() else " " for c in text).strip()
        return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."

    def _clean(self, text: str) -> str:
        """The text without the key, also as JSON writes it, and without other secrets."""
        if self.api_key:
            for written in (self.api_key, json.dumps(self.api_key)[1:-1]):
                text = text.replace(written, "***")
        return hide(text)


async def _body(response: httpx.Response) -> bytes:
    parts, size = [], 0
    async for part in response.aiter_raw():
        parts.append(part)
        size += len(part)
        if size > MAX_BODY:
            raise Refused(0, f"sent more than {MAX_BODY // 2**20} MiB")
    return b"".join(parts)


async def _lines(response: httpx.Response) -> AsyncIterator[bytes]:
    """Lines of a body of bounded size."""
    rest, size = b"", 0
    async for part in response.aiter_raw():
        size += len(part)
        *lines, rest = (rest + part).split(b"\n")
        for line in lines:
            yield line.rstrip(b"\r")
        if len(rest) > MAX_LINE or size > MAX_BODY:
            raise Refused(0, "sent a reply beyond all bounds")
    if rest:
        yield rest


def _lenient(text: bytes) -> Any:
    """JSON if it is, else the text: an error page is only shown."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text.decode("utf-8", "replace")


def _number(event: Mapping[str, Any], name: str, otherwise: float) -> float:
    error = event.get("error")
    value = error.get(name) if isinstance(error, dict) else event.get(name)
    return value if isinstance(value, int | float) and 400 <= value < 600 else otherwise
