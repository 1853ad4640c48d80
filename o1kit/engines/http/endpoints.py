"""`Pool`: several servers as one. The least loaded is asked; one that fails rests, and others take over.

All state that belongs to an event loop (connections, gates, checks) is made for each loop anew, since stages start
loops of their own, and ends with it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from o1kit.engines.http.client import Client, Refused, Unavailable
from o1kit.engines.http.probe import Capabilities
from o1kit.errors import EnvironmentFailure
from o1kit.models.config import ServersConfig

T = TypeVar("T")
MAX_WAIT_S = 8.0
"""Longest pause between two tries, unless the server asks for more."""
MAX_RETRY_AFTER_S = 60.0
"""Longest pause that a server may ask for."""


def backoff(tries: int) -> float:
    """Seconds to wait after so many failed tries: 0.25, 0.5, 1, ... up to `MAX_WAIT_S`."""
    return float(min(0.25 * 2 ** (tries - 1), MAX_WAIT_S))


@dataclass(eq=False, slots=True)
class Endpoint:
    """One server: what it can do, whether it answers, and what it said when it failed."""

    url: str
    able: Capabilities | None = None
    up: bool = True
    error: str = ""
    unfit: str = ""
    """Why it cannot be used although it answers."""
    failures: int = 0
    in_flight: int = 0
    rest_until: float = 0.0
    checking: bool = False

    @property
    def rested(self) -> bool:
        """True when it may be asked again."""
        return time.monotonic() >= self.rest_until

    def failed(self, error: Unavailable | Refused) -> None:
        """Rests: a busy one for as long as it asks, a silent one until it answers a health request."""
        self.error = str(error)
        self.unfit = self.error if isinstance(error, Refused) else ""
        wait = error.retry_after if isinstance(error, Unavailable) else None
        if wait is not None:
            self.rest_until = time.monotonic() + min(max(wait, 0.25), MAX_RETRY_AFTER_S)
        elif self.up or self.rested:  # of many requests that fail together the first one counts
            self.up = False
            self.failures += 1
            self.rest_until = time.monotonic() + backoff(self.failures)


@dataclass(eq=False)
class _Session:
    """What lives as long as one event loop."""

    loop: asyncio.AbstractEventLoop
    client: Client
    gates: dict[Endpoint, asyncio.Semaphore]
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def start(self, work: Awaitable[None]) -> None:
        """Runs something beside; the loop's end cancels it."""
        task = asyncio.ensure_future(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def keep(self) -> None:
        """Waits for the end of the loop, which cancels all tasks, to close the connections in it."""
        try:
            await asyncio.Event().wait()
        finally:
            await self.client.close()


class Pool:
    """Requests to whichever endpoint is healthy. `check` raises if an endpoint is not fit for use, and sets `able`."""

    def __init__(
        self, config: ServersConfig, api_key: str | None, check: Callable[[Client, Endpoint], Awaitable[None]]
    ) -> None:
        self.endpoints = [Endpoint(url) for url in dict.fromkeys(config.endpoints)]
        self.concurrency = config.max_concurrency
        self._config, self._key, self._check = config, api_key, check
        self._current: _Session | None = None

    async def start(self) -> list[Capabilities]:
        """What each endpoint can do that answers.

        Raises:
            EnvironmentFailure: none answers, or one of them is not fit for use.
        """
        session = self._session()
        unready = [endpoint for endpoint in self.endpoints if endpoint.able is None]
        await asyncio.gather(*(self._revive(session, endpoint) for endpoint in unready))
        for endpoint in unready:
            if endpoint.unfit:
                raise EnvironmentFailure(f"{endpoint.url}: {endpoint.unfit}")
        able = [endpoint.able for endpoint in self.endpoints if endpoint.able is not None]
        if not able:
            raise self._exhausted("no server answers")
        return able

    async def run(self, work: Callable[[Client, Endpoint], Awaitable[T]]) -> T:
        """`work` with a healthy endpoint, tried again elsewhere when that fails, up to the recipe's `max_retries`.

        Raises:
            Refused: the server understood and said no.
            EnvironmentFailure: all tries failed; names every endpoint with its last error.
        """
        session, tries = self._session(), 0
        while True:
            endpoint = await self._choose(session)
            if endpoint is not None:
                endpoint.in_flight += 1
                try:
                    async with session.gates[endpoint]:
                        if not endpoint.up:  # it failed while we were waiting: that was not our try
                            continue
                        return await work(session.client, endpoint)
                except Unavailable as error:
                    endpoint.failed(error)
                finally:
                    endpoint.in_flight -= 1
            tries += 1
            if tries > self._config.max_retries:
                raise self._exhausted(f"no server did the work in {tries} tries")
            if not any(other.up and other.rested for other in self.endpoints):
                await asyncio.sleep(backoff(tries))

    def limit(self, concurrency: int) -> None:
        """At most so many requests at each endpoint."""
        self.concurrency = concurrency
        if self._current is not None:
            self._current.gates = {e: asyncio.Semaphore(concurrency) for e in self.endpoints}

    # ---- choosing ------------------------------------------------------------------------------------------------

    async def _choose(self, session: _Session) -> Endpoint | None:
        """The least loaded endpoint that answers and is not resting, or None."""
        for endpoint in self.endpoints:
            if not endpoint.up and endpoint.rested and not endpoint.checking:
                session.start(self._revive(session, endpoint))
        if not any(endpoint.up for endpoint in self.endpoints):
            async with session.lock:  # one of the waiting requests asks for all
                if not any(endpoint.up for endpoint in self.endpoints):
                    await asyncio.gather(*(self._revive(session, e) for e in self.endpoints if not e.checking))
        fit = [endpoint for endpoint in self.endpoints if endpoint.up]
        if not fit:
            return None
        ready = [endpoint for endpoint in fit if endpoint.rested]
        if not ready:
            first = min(fit, key=lambda endpoint: endpoint.rest_until)
            await asyncio.sleep(max(first.rest_until - time.monotonic(), 0.0))
            ready = [first]
        return min(ready, key=lambda endpoint: endpoint.in_flight)

    async def _revive(self, session: _Session, endpoint: Endpoint) -> None:
        """Asks an endpoint whether it can be used (again)."""
        endpoint.checking = True
        try:
            await self._check(session.client, endpoint)
            endpoint.up, endpoint.failures = True, 0
        except (Unavailable, Refused) as error:
            endpoint.failed(error)
        finally:
            endpoint.checking = False

    def _exhausted(self, what: str) -> EnvironmentFailure:
        lines = [f"  {e.url}: {e.error or 'was not asked again'}" for e in self.endpoints]
        listed = "\n".join(lines)
        return EnvironmentFailure(
            f"{what}:\n{listed}\nStart the servers, or correct engine.endpoints or engine.timeout_s."
        )

    def _session(self) -> _Session:
        loop = asyncio.get_running_loop()
        if self._current is None or self._current.loop is not loop:
            client = Client(self._config.timeout_s, self._key, len(self.endpoints) * (self.concurrency + 2))
            gates = {endpoint: asyncio.Semaphore(self.concurrency) for endpoint in self.endpoints}
            self._current = _Session(loop, client, gates)
            for endpoint in self.endpoints:
                endpoint.in_flight, endpoint.checking = 0, False
            self._current.start(self._current.keep())
        return self._current
