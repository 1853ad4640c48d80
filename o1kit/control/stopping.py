"""`stop`: asks the process of a run, and no other, to end."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

from o1kit.control.process import send, wait_for_end
from o1kit.control.records import last_attempt
from o1kit.control.state import look
from o1kit.errors import EnvironmentFailure, RecipeError

GRACE_S = 10.0
"""How long a run may take that was told to end at once, before it is killed."""


def stop(directory: Path, *, now: bool, timeout_s: float, say: Callable[[str], None]) -> None:
    """Ends a run: with a checkpoint, or at once.

    Args:
        directory: the run's folder.
        now: do not wait for a checkpoint; kill what does not answer.
        timeout_s: how long to wait for the end.
        say: where messages go.

    Raises:
        RecipeError: the run does not run.
        EnvironmentFailure: it runs elsewhere, belongs to someone else, or goes on after the time.
    """
    attempt, before = last_attempt(directory), look(directory)
    if attempt is None or before.state not in ("running", "stale"):
        raise RecipeError(f"{directory}: is not running ({before.state}{_comma(before.detail)}).")
    process = attempt.process
    if not process.here:
        raise EnvironmentFailure(
            f"{directory}: process {process.pid} works on {process.host} (or did before a restart); it cannot be seen "
            "from here. Run o1kit stop there."
        )
    gone = not send(process, signal.SIGTERM)
    if not gone and now:
        gone = wait_for_end(process, 1.0) or not send(process, signal.SIGTERM)
        gone = gone or wait_for_end(process, min(GRACE_S, timeout_s)) or not send(process, signal.SIGKILL)
    elif not gone:
        say(f"asked process {process.pid} to stop; it saves a checkpoint first (Ctrl-C here does not call it back)")
    if not gone and not wait_for_end(process, timeout_s):
        raise EnvironmentFailure(
            f"{directory}: process {process.pid} still works after {timeout_s:g} s. It will stop at its next "
            "checkpoint; to end it without one: o1kit stop RUN --now."
        )
    after = look(directory)
    say(f"{after.name}: {after.state}{_comma(after.detail)}. Go on with: o1kit resume {directory}")


def _comma(text: str) -> str:
    return f", {text}" if text else ""
