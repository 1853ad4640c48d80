"""`HfExporter`: weights, tokenizer and configuration as Hugging Face has them, and a model card; nothing else."""

from __future__ import annotations

import json
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from o1kit.artifacts import sha256_of, write_atomic
from o1kit.errors import DataError
from o1kit.export.config import HfExporterConfig
from o1kit.export.stage import Finished
from o1kit.functional.printable import printable
from o1kit.report.results import FILE, read_results
from o1kit.report.table import cells, headings

WANTED = re.compile(
    r"(config|generation_config|reward|special_tokens_map|added_tokens|vocab|tokenizer\w*|\w+\.safetensors\.index)\.json"
    r"|[\w.-]+\.safetensors|merges\.txt|tokenizer\.model|chat_template\.jinja"
)
"""Files that are taken along; all others (metrics, rollouts, settings of the stage) stay."""


class HfExporter:
    """Copies, and compares hashes with those of `done.json` after copying."""

    def __init__(self, config: HfExporterConfig) -> None:
        self.config = config

    def write(self, stage: Finished, directory: Path) -> None:
        """Fills the folder."""
        chosen = {name: digest for name, digest in sorted(stage.hashes.items()) if WANTED.fullmatch(name)}
        for needed in ("config.json", "tokenizer.json"):
            if needed not in chosen:
                raise DataError(f"{stage.directory}: has no {needed}: there is no model that transformers could load.")
        for name, digest in chosen.items():
            shutil.copyfile(stage.directory / name, directory / name)
            if sha256_of(directory / name) != digest:
                raise DataError(f"{directory / name}: the copy differs from the original. Use another disk.")
        write_atomic(directory / "README.md", _card(stage, chosen))


def _card(stage: Finished, hashes: dict[str, str]) -> str:
    """The model card: where the model is from, what was measured, the recipe, the hashes."""
    kind, run = stage.done.get("kind"), stage.directory.resolve().parent
    reward = "reward.json" in hashes
    lines = [
        "---",
        "library_name: transformers",
        f"pipeline_tag: {'text-classification' if reward else 'text-generation'}",
        "tags: [o1kit, reasoning]",
        "---",
        "",
        f"# {run.name}: {stage.done.get('stage')}",
        "",
        f"A {'reward model' if reward else 'language model'} made by a `{kind}` stage of an o1kit run.",
        f"Fingerprint of all that it was computed from: `{stage.done.get('fingerprint')}`.",
    ]
    if reward:
        lines.append("How it is read (where, off which head or tokens) is in `reward.json`.")
    lines += _results(run)
    recipe = _text(run / "recipe.json")
    if recipe is not None:
        lines += ["", "## Recipe", "", "```json", recipe.strip().replace("```", "'''"), "```"]
    lines += ["", "## Files", "", "| file | SHA-256 |", "| --- | --- |"]
    lines += [f"| {name} | `{digest}` |" for name, digest in hashes.items()]
    return "\n".join(printable(line) for line in "\n".join(lines).splitlines()) + "\n"


def _results(run: Path) -> list[str]:
    """The table of the run's last evaluation, if there is one."""
    if not (run / FILE).is_file():
        return []
    results = read_results(run / FILE)
    rows: list[list[Any]] = [headings(results), ["---"] * len(headings(results)), *cells(results)]
    return ["", "## Results of the run", "", *(f"| {' | '.join(map(str, row))} |" for row in rows)]


def _text(path: Path) -> str | None:
    """Readable JSON; None where there is none."""
    with suppress(OSError, ValueError):
        return json.dumps(json.loads(path.read_text(encoding="utf-8")), indent=2, ensure_ascii=False)
    return None
