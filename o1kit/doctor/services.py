"""Places outside: the Hugging Face cache and Weights & Biases. Nothing is contacted, no key is shown."""

from __future__ import annotations

import netrc
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from o1kit.doctor.check import Check


def service_checks() -> Iterator[Check]:
    """Hugging Face and Weights & Biases."""
    yield _hub()
    yield _wandb()


def _hub() -> Check:
    home = Path(os.environ.get("HF_HOME") or Path.home() / ".cache" / "huggingface")
    cache = Path(os.environ.get("HF_HUB_CACHE") or home / "hub")
    models = 0
    with suppress(OSError):
        models = sum(entry.name.startswith("models--") for entry in os.scandir(cache))
    offline = os.environ.get("HF_HUB_OFFLINE", "1").lower() in ("1", "true", "yes", "on")
    told = "offline, the default" if offline else "online: models are looked for on the hub"
    text = f"{told} (HF_HUB_OFFLINE); {models} models in {cache}"
    if os.path.lexists(cache) and not os.access(cache, os.W_OK):
        return Check("Hugging Face", "warn", f"{text}, which cannot be written to", "Set HF_HOME to another folder.")
    return Check("Hugging Face", "ok", text)


def _wandb() -> Check:
    mode = os.environ.get("WANDB_MODE") or "not set, the recipe decides: offline unless it says otherwise"
    key = "a key is set" if os.environ.get("WANDB_API_KEY") or _logged_in() else "no key, and offline none is needed"
    return Check("W&B", "ok", f"WANDB_MODE {mode}; {key}")


def _logged_in() -> bool:
    with suppress(OSError, netrc.NetrcParseError):
        return any("wandb" in host for host in netrc.netrc(os.environ.get("NETRC")).hosts)
    return False
