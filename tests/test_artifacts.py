"""Artifacts: whole or absent, and verified against what was written."""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path

import pytest
import torch

from o1kit.artifacts import (
    digest,
    finite,
    load_weights,
    preflight,
    read_artifact,
    read_done,
    save_weights,
    sha256_of,
    write_atomic,
    write_done,
    write_json,
    write_stream,
)
from o1kit.errors import DataError, EnvironmentFailure, ResourceError
from o1kit.functional import secrets


def make(directory: Path) -> None:
    save_weights(directory / "model.safetensors", {"w": torch.arange(6.0).view(2, 3)})
    write_atomic(directory / "sub" / "notes.txt", "hello")
    write_atomic(directory / "checkpoints" / "step-1.ckpt", "x")
    write_done(directory, "sft", "sft", "f00d", seconds=1.0)


def test_a_finished_folder_reads_back(tmp_path: Path) -> None:
    make(tmp_path)
    artifact = read_artifact(tmp_path)
    assert artifact is not None
    assert (artifact.stage, artifact.kind, artifact.fingerprint, artifact.directory) == ("sft", "sft", "f00d", tmp_path)
    done = read_done(tmp_path)
    assert done is not None
    assert set(done["files"]) == {"model.safetensors", "sub/notes.txt"}
    assert done["files"]["sub/notes.txt"] == {"size": 5, "sha256": hashlib.sha256(b"hello").hexdigest()}
    assert torch.equal(load_weights(tmp_path / "model.safetensors")["w"], torch.arange(6.0).view(2, 3))


@pytest.mark.parametrize(
    "harm", ["bit", "truncate", "delete", "no_done", "torn_done", "other_format", "not_json_object"]
)
def test_any_damage_makes_it_unfinished(tmp_path: Path, harm: str) -> None:
    make(tmp_path)
    weights, done = tmp_path / "model.safetensors", tmp_path / "done.json"
    content = weights.read_bytes()
    if harm == "bit":
        weights.write_bytes(content[:-1] + bytes([content[-1] ^ 4]))
    elif harm == "truncate":
        weights.write_bytes(content[:-1])
    elif harm == "delete":
        weights.unlink()
    elif harm == "no_done":
        done.unlink()
    elif harm == "torn_done":
        done.write_text(done.read_text()[:-20])
    elif harm == "other_format":
        done.write_text(json.dumps({**json.loads(done.read_text()), "format": 99}))
    else:
        done.write_text("[]")
    assert read_artifact(tmp_path) is None


def test_the_digest_follows_the_weights_and_nothing_else(tmp_path: Path) -> None:
    for name, value, note in (("a", 1.0, "x"), ("b", 1.0, "y"), ("c", 2.0, "x")):
        save_weights(tmp_path / name / "model.safetensors", {"w": torch.tensor([value])})
        write_atomic(tmp_path / name / "log.txt", note)
        write_done(tmp_path / name, name, "sft", name)
    assert digest(tmp_path / "a") == digest(tmp_path / "b") != digest(tmp_path / "c")
    assert digest(tmp_path / "nowhere") == ""


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write_atomic(path, "old")

    def fails(stream: object) -> None:
        raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        write_stream(path, fails)
    with pytest.raises(EnvironmentFailure):
        write_stream(path, lambda stream: stream.write(b"new"), check=lambda file: preflight(file / "x"))
    assert path.read_text() == "old"
    assert [f.name for f in tmp_path.iterdir()] == ["x"]
    assert sha256_of(path) == hashlib.sha256(b"old").hexdigest()


def test_preflight_refuses_what_cannot_work(tmp_path: Path) -> None:
    preflight(tmp_path / "new" / "folder")
    assert list((tmp_path / "new" / "folder").iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFailure, match="--runs-dir"):
        preflight(tmp_path / "file" / "run")
    with pytest.raises(ResourceError, match="MiB free"):
        preflight(tmp_path, needed_mb=10**9)


def test_missing_weights_say_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot read the weights"):
        load_weights(tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"not weights")
    with pytest.raises(DataError):
        load_weights(tmp_path / "bad.safetensors")


def test_json_values_are_always_valid_json() -> None:
    value = {"a": math.nan, "b": [math.inf, 1, True, None, "x"], "c": torch.tensor(2.5), 3: (1.5,), "p": Path("q")}
    assert finite(value) == {"a": None, "b": [None, 1, True, None, "x"], "c": 2.5, "3": [1.5], "p": "q"}


def test_texts_of_the_environment_are_hidden_and_names_and_keys_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "_known", {})
    for value in ("config", "heldout", "problems"):
        secrets.remember(value, "${env:X}")
    row = {"num_problems": 1, "split": "heldout", "stages": ["config"], "note": "config", "about": {"kind": "config"}}
    write_json(tmp_path / "x.json", row)
    assert json.loads((tmp_path / "x.json").read_text()) == {**row, "note": "${env:X}"}
    write_json(tmp_path / "x.json", row, clean=True)
    assert json.loads((tmp_path / "x.json").read_text()) == row
    folder = tmp_path / "config"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    write_done(folder, "config", "heldout", "f", data={"${env:X}/problems.jsonl": "h"})
    found = read_artifact(folder)
    assert found is not None
    assert (found.stage, found.kind) == ("config", "heldout")
    assert {*read_done(folder)["files"]} == {"config.json"}  # type: ignore[index]
