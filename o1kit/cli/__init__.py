"""The command line. A command is a function in one of these modules; it imports what it needs when it runs.

Only commands that train, evaluate or grade load torch.
"""

from __future__ import annotations

import atexit
import gc
import os
import sys
from collections.abc import Sequence

from o1kit.errors import O1kitError

# No network unless the user asks: with HF_HUB_OFFLINE=0 models are looked for on the hub too.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# Plugins of Pydantic watch validators (Logfire does): to look for them reads the metadata of every installed package.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
if os.environ.get("NO_COLOR"):  # else Typer's help has no colours then, but bold and dim words all the same
    os.environ["_TYPER_FORCE_DISABLE_TERMINAL"] = "1"

INTERRUPTED = 130


@atexit.register
def _leave() -> None:
    """Python looks for garbage once more when it ends: a sixth of the time of a short command."""
    if "torch" not in sys.modules:
        gc.freeze()


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code."""
    # What is imported stays: to look for garbage among it takes a tenth of the time of a short command.
    gc.set_threshold(100_000, 50, 100)
    from o1kit.cli.app import invoke

    try:
        code = invoke(sys.argv[1:] if arguments is None else list(arguments))
        sys.stdout.flush()
        return code
    except O1kitError as error:
        from o1kit.functional.printable import printable

        print(f"error: {printable(str(error))}", file=sys.stderr)  # it may quote a stranger's recipe
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on from the last checkpoint", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # the reader of a pipe has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
