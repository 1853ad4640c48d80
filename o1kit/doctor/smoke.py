"""What is tried out in processes that can be killed: torch and its devices, 4-bit weights, the compiler."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from o1kit.control.table import size
from o1kit.doctor.check import Check
from o1kit.doctor.packages import version_of

TIMEOUT_S = 180.0
"""Importing torch alone takes ten seconds on a slow disk."""
TAIL = 300

TORCH = """
import json, torch
devices = []
for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
    free, total = torch.cuda.mem_get_info(i)
    right = bool((torch.ones(64, 64, device=f"cuda:{i}") @ torch.ones(64, 64, device=f"cuda:{i}") == 64).all())
    devices.append({"name": torch.cuda.get_device_name(i), "free": free, "total": total, "right": right})
right = bool((torch.ones(64, 64) @ torch.ones(64, 64) == 64).all())
build = torch.version.cuda or torch.version.hip
print(json.dumps({"torch": torch.__version__, "cuda": build, "devices": devices, "right": right,
                  "threads": torch.get_num_threads()}))
"""
FOUR_BIT = """
import json, torch, bitsandbytes
device = "cuda" if torch.cuda.is_available() else "cpu"
torch.manual_seed(0)
plain = torch.nn.Linear(64, 64, bias=False)
packed = bitsandbytes.nn.Linear4bit(64, 64, bias=False, compute_dtype=torch.float32, quant_type="nf4")
packed.load_state_dict(plain.state_dict())
x = torch.randn(8, 64)
with torch.no_grad():
    expected, found = plain(x), packed.to(device)(x.to(device)).float().cpu()
error = ((found - expected).norm() / expected.norm()).item()
print(json.dumps({"device": device, "error": error}))
"""
COMPILE = """
import json, torch
device = "cuda" if torch.cuda.is_available() else "cpu"
x = torch.linspace(-2, 2, 64, device=device)
found = torch.compile(lambda t: torch.relu(t) * 2 + 1)(x)
print(json.dumps({"device": device, "right": bool(torch.allclose(found, torch.relu(x) * 2 + 1))}))
"""


class Tried(NamedTuple):
    """How a trial ended."""

    result: dict[str, Any] | None
    """What it printed; None if it failed."""
    reason: str = ""


def smoke_checks() -> Iterator[Check]:
    """Torch and its devices, 4-bit weights, torch.compile: side by side, as each takes seconds to start."""
    with ThreadPoolExecutor(3) as pool:
        started = [pool.submit(trial) for trial in (devices, four_bit, compiled)]
        for future in started:
            yield from future.result()


def devices() -> list[Check]:
    """Torch, and every device it sees, with a product of matrices on each."""
    tried = attempt(TORCH)
    if tried.result is None:
        return [Check("torch", "fail", f"does not work: {tried.reason}", "pip install --force-reinstall torch")]
    found = tried.result
    if not found["right"]:
        return [Check("torch", "fail", "computes wrong sums on the CPU", "pip install --force-reinstall torch")]
    checks = [Check("torch", "ok", f"{found['torch']}, {found['threads']} threads")]
    for i, device in enumerate(found["devices"]):
        text = f"{device['name']}, {size(device['free'])} free of {size(device['total'])}"
        remedy = "" if device["right"] else "It computes wrong sums: check driver and hardware."
        checks.append(Check(f"cuda:{i}", "ok" if device["right"] else "fail", text, remedy))
    if found["devices"]:
        return checks
    if found["cuda"]:
        remedy = "Check the driver: nvidia-smi. Runs will use the CPU."
        checks.append(Check("GPU", "warn", f"none is usable, though torch was built for CUDA {found['cuda']}", remedy))
    elif Path("/dev/nvidia0").exists():
        checks.append(Check("GPU", "warn", "there is one, but torch was built without CUDA", "Install torch for CUDA."))
    else:
        checks.append(Check("GPU", "ok", "none; runs use the CPU"))
    return checks


def four_bit() -> list[Check]:
    """A 4-bit linear layer against the same with full weights."""
    version = version_of("bitsandbytes")
    if version is None:
        return [Check("4-bit weights", "ok", "bitsandbytes is not installed (optional: pip install 'o1kit[quant]')")]
    tried = attempt(FOUR_BIT)
    if tried.result is None or not 0 < tried.result["error"] < 0.3:
        why = tried.reason if tried.result is None else f"wrong by {tried.result['error']:.0%}"
        text = f"bitsandbytes {version} does not work: {why}"
        return [Check("4-bit weights", "warn", text, "pip install --upgrade bitsandbytes")]
    text = f"bitsandbytes {version} works on {tried.result['device']} (error {tried.result['error']:.0%})"
    return [Check("4-bit weights", "ok", text)]


def compiled() -> list[Check]:
    """A tiny compiled function; nothing in o1kit needs it, so it never fails."""
    with tempfile.TemporaryDirectory(prefix="o1kit-doctor-") as folder:
        tried = attempt(COMPILE, TORCHINDUCTOR_CACHE_DIR=folder, TRITON_CACHE_DIR=folder)
    if tried.result is not None and tried.result["right"]:
        return [Check("torch.compile", "ok", f"works on {tried.result['device']}")]
    if not any(shutil.which(name) for name in (os.environ.get("CXX") or "c++", "g++", "clang++")):
        remedy = "No C++ compiler was found; install one (apt-get install g++). o1kit itself needs none."
    else:
        remedy = "o1kit itself does not need it."
    return [Check("torch.compile", "warn", f"does not work: {tried.reason or 'wrong result'}", remedy)]


def attempt(script: str, timeout_s: float = TIMEOUT_S, **environment: str) -> Tried:
    """Runs a script that prints one line of JSON, in a process group that is killed after a time."""
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", script],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
        env={**os.environ, **environment},
    )
    try:
        out, told = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        return Tried(None, f"no answer within {timeout_s:g} s")
    finally:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    with suppress(ValueError, IndexError):
        result = json.loads(out.strip().splitlines()[-1])
        if process.returncode == 0 and isinstance(result, dict):
            return Tried(result)
    lines = [line for line in told.strip().splitlines() if line.strip()]
    if process.returncode < 0:
        return Tried(None, f"killed by {signal.Signals(-process.returncode).name}")
    return Tried(None, lines[-1][:TAIL] if lines else f"exit code {process.returncode}")
