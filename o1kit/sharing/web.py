"""Files over HTTPS: bounded, pinned by their hash, and never somewhere else than asked."""

from __future__ import annotations

import re
import time

from o1kit.errors import DataError, EnvironmentFailure
from o1kit.sharing.archive import MAX_ARCHIVE

_PLAIN = re.compile(r"[^\s\\]+")
"""What addresses are made of: no spaces, and no backslash, which programs read in different ways."""
TIMEOUT_S = 30.0
TOTAL_S = 300.0
MAX_REDIRECTS = 5
LOCAL = "127.0.0.1"
"""The one host that may be asked without encryption: this machine."""


def download(address: str) -> bytes:
    """The bytes at an address.

    Raises:
        DataError: it may not be asked, or sends more than a recipe needs.
        EnvironmentFailure: it cannot be reached.
    """
    import httpx

    try:
        return _download(address)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = str(error) or type(error).__name__
        raise EnvironmentFailure(
            f"{address}: cannot be fetched: {reason}. Check the address and the network."
        ) from None


def check(address: str) -> None:
    """Makes sure that an address may be asked at all.

    Raises:
        DataError: it is not encrypted, or holds a password.
    """
    import httpx

    try:
        url = httpx.URL(address)
        if not url.host or not _PLAIN.fullmatch(address):
            raise httpx.InvalidURL("no host, or characters that no address has")
    except httpx.InvalidURL as error:
        raise DataError(f"{address}: is no address: {error}. Give a path, or https://...") from None
    _check(url, url.scheme, address)


def _download(address: str) -> bytes:
    import httpx

    url = httpx.URL(address)
    scheme, ends = url.scheme, time.monotonic() + TOTAL_S
    # As it is stored: a body that the server compresses could unpack to anything.
    headers = {"Accept-Encoding": "identity", "User-Agent": "o1kit"}
    with httpx.Client(follow_redirects=False, timeout=TIMEOUT_S, headers=headers) as client:
        for _ in range(MAX_REDIRECTS + 1):
            _check(url, scheme, address)
            with client.stream("GET", url) as response:
                if response.has_redirect_location:
                    url = url.join(response.headers["location"])
                    continue
                if response.status_code != 200:
                    raise EnvironmentFailure(
                        f"{address}: the server answered {response.status_code}. Check the address."
                    )
                return _body(response, address, ends)
    raise DataError(f"{address}: redirects more than {MAX_REDIRECTS} times. Ask for the final address.")


def _body(response: object, address: str, ends: float) -> bytes:
    found = bytearray()
    for chunk in response.iter_raw():  # type: ignore[attr-defined]
        found += chunk
        if len(found) > MAX_ARCHIVE:
            raise DataError(f"{address}: sends more than {MAX_ARCHIVE >> 20} MiB: more than a recipe needs.")
        if time.monotonic() > ends:
            raise EnvironmentFailure(f"{address}: took longer than {TOTAL_S:.0f} s. Try again.")
    return bytes(found)


def _check(url: object, scheme: str, address: str) -> None:
    import httpx

    assert isinstance(url, httpx.URL)
    if url.userinfo:
        raise DataError("an address must not hold a user or password: it ends up in logs. Leave it out.")
    if url.scheme != scheme:
        raise DataError(f"{address}: redirects to {url.scheme}. Ask for the final address.")
    if url.scheme != "https" and (url.scheme, url.host) != ("http", LOCAL):
        raise DataError(f"{address}: only https is fetched (and http from {LOCAL}). Use its https address.")
