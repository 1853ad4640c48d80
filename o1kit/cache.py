"""Where o1kit keeps what it may make again: `$XDG_CACHE_HOME/o1kit`."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """The folder, which need not exist. A relative `XDG_CACHE_HOME` is passed over, as its specification asks.

    Raises:
        RuntimeError: the user has no home.
    """
    given = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(given) if os.path.isabs(given) else Path.home() / ".cache") / "o1kit"
