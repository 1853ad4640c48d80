"""Recipes and archives for the tests of sharing."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path

from o1kit.sharing.archive import manifest_of

PLAIN = """\
o1kit: 1
name: plain
model: {kind: scratch, hidden_size: 32, num_layers: 2, context_length: 160}
tasks:
  train:
    num_problems: 3
    sources: [{kind: jsonl, path: data/rows.jsonl, thought_field: thought}]
stages:
  - {kind: sft, name: sft, steps: 3, batch_size: 2}
tracking: {wandb: {mode: disabled}}
"""
ROWS = "".join(f'{{"question": "{n} + 1 = ?", "thought": "count", "answer": "{n + 1}"}}\n' for n in range(5))


def folder(root: Path, text: str = PLAIN, name: str = "plain.yaml") -> Path:
    """A recipe file with its data beside it."""
    (root / "data").mkdir(parents=True, exist_ok=True)
    (root / "data/rows.jsonl").write_text(ROWS)
    (root / name).write_text(text)
    return root / name


def member(name: str, content: bytes = b"x\n", **facts: object) -> tuple[tarfile.TarInfo, bytes]:
    """One member of a tar file, with facts that a hostile one has."""
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in facts.items():
        setattr(info, key, value)
    return info, content


def packed(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.USTAR_FORMAT) -> bytes:
    """A gzipped tar file of the members as they are, made by the standard library."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=form) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content) if info.isreg() else None)
    return gzip.compress(stream.getvalue())


def with_manifest(files: Mapping[str, bytes], recipe: str = "plain.yaml") -> list[tuple[tarfile.TarInfo, bytes]]:
    """Members of an archive that is right: the manifest and the files."""
    text = json.dumps(manifest_of(recipe, None, files).model_dump(mode="json")).encode()
    return [member("manifest.json", text), *(member(name, content) for name, content in files.items())]
