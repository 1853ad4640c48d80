"""`o1kit export`: a finished stage as a folder that other programs load."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from o1kit.errors import RecipeError

if TYPE_CHECKING:
    from o1kit.export.config import ExporterSection


def export(
    stage: Annotated[Path, typer.Argument(metavar="STAGE_FOLDER", help="For example runs/quickstart/ppo.")],
    out: Annotated[Path, typer.Argument(help="Folder to make; it must not exist.")],
    to: Annotated[str, typer.Option(metavar="KIND", help="Exporter; plugins add others.")] = "hf",
    options: Annotated[
        list[str] | None,
        typer.Option("--option", metavar="KEY=VALUE", help="Option of the exporter (repeatable).", show_default=False),
    ] = None,
) -> None:
    """Write a finished policy or reward model for other programs: weights, tokenizer, model card; hashes checked."""
    from o1kit.export.stage import export_stage

    export_stage(stage, out, _section(to, options or []))
    print(f"wrote {out}: {', '.join(sorted(path.name for path in out.iterdir()))}")


def _section(kind: str, options: list[str]) -> ExporterSection:
    """The exporter's section, checked as one of a recipe is.

    Raises:
        RecipeError: with all faults.
    """
    from pydantic import ValidationError

    from o1kit.export.config import Export
    from o1kit.recipe.explain import explain
    from o1kit.recipe.faults import failure
    from o1kit.recipe.source import Source, parse

    written = {"kind": kind}
    for text in options:
        key, equals, value = text.partition("=")
        parsed = parse(value or "null", f"--option {text}")
        if not equals or not key or parsed.faults:
            raise RecipeError(f"--option {text}: write KEY=VALUE.")
        written[key] = parsed.data
    source = Source("--to", {"to": written})
    try:
        return Export.model_validate(source.data).to
    except ValidationError as error:
        explain(error, Export, source)
        raise failure(source) from None
