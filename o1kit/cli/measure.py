"""The commands that measure: `o1kit eval | score | compare`. Each loads what it needs when it runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from o1kit.cli.options import Plain
from o1kit.errors import DataError

if TYPE_CHECKING:
    from o1kit.report.results import Results
    from o1kit.rescoring import Rescored

KNOWN = "known.jsonl"
"""File of the problems that an evaluated folder has learned from."""
EXAMPLES = 10
"""Most answers that are shown of those whose verdict has changed."""


def _sets(text: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(
        "--set", metavar="KEY.PATH=VALUE", help=text, default_factory=list, show_default=False
    )
    return option


def evaluate(
    model: Annotated[str, typer.Argument(metavar="CHECKPOINT|HF-DIR", help="Folder of a finished stage or HF model.")],
    tasks: Annotated[
        list[str],
        typer.Option(
            metavar="FILE.jsonl|RECIPE.yaml[:SPLIT]|GENERATOR[:KEY=VALUE,...]",
            help="Problems: a file of questions and answers, a recipe's splits, a reasoning_gym generator; repeatable.",
        ),
    ],
    sets: Annotated[list[str], _sets("Change the composed recipe, as in --set model.dtype=bfloat16 (repeatable).")],
    search: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND[:N|:KEY=VALUE,...]",
            help="greedy (what is done without), sample:8, best_of_n:num_samples=8,select=majority, ... (repeatable).",
        ),
    ] = None,
    num_problems: Annotated[int | None, typer.Option(metavar="N", help="Most problems of each split.")] = None,
    judge: Annotated[
        str | None, typer.Option(metavar="FOLDER", help="Folder of a reward model, for searches that need one.")
    ] = None,
    seeds: Annotated[int, typer.Option(metavar="N", help="Run every search so often.")] = 1,
    seed: Annotated[int, typer.Option(help="Every random choice follows from it.")] = 0,
    engine: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="Option of the engine.")] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the run (default: runs/eval-NAME).")
    ] = None,
    plain: Plain = False,
) -> None:
    """Evaluate a model's folder without writing a recipe."""
    from o1kit.artifacts import write_atomic
    from o1kit.config import public
    from o1kit.models.reading import check_readable
    from o1kit.plan import compile_recipe
    from o1kit.recipe.compose import Wanted, compose, text_of
    from o1kit.recipe.loader import recipe_from
    from o1kit.recipe.source import parse
    from o1kit.stages.evaluate.seen import write_texts

    _check_model(Path(model))
    if judge is not None:
        check_readable(Path(judge))
    folder = out or Path("runs") / f"eval-{Path(model).resolve().name}"
    searches, name = search or ["greedy"], folder.resolve().name
    texts = _known(Path(model), *([Path(judge)] if judge is not None else []))
    known = folder / KNOWN if texts else None
    wanted = Wanted(model, tasks, searches, num_problems, judge, seeds, seed, engine or [], name, known)
    text = text_of(compose(wanted))
    plan = compile_recipe(recipe_from(parse(text, "o1kit eval"), sets))
    path = folder / "recipe.yaml"
    write_atomic(path, text_of(public(plan.recipe, exclude_defaults=True)))
    if known is not None:
        write_texts(known, texts)
    from o1kit.runner import run_plan

    run_plan(plan, recipe_directory=folder, runs_dir=folder.resolve().parent, plain=plain)
    print(f"the same again: o1kit run {path} --runs-dir {folder.parent}")


def _check_model(path: Path) -> None:
    """Raises a DataError for a folder that holds no policy; a hub id that is no folder is left to the loader."""
    if not path.is_dir():
        return
    if (path / "reward.json").is_file():
        raise DataError(
            f"{path}: holds a reward model, which answers nothing. Name it with --judge, and a policy here."
        )
    if not (path / "config.json").is_file() or "model_type" not in (path / "config.json").read_text(errors="replace"):
        inside = next((f.parent for f in sorted(path.glob("*/model.safetensors"))), None)
        hint = f"Name a stage's folder, such as {inside}." if inside is not None else "Name a stage's folder."
        raise DataError(f"{path}: holds no model. {hint}")


def _known(*folders: Path) -> list[str]:
    """Texts of the problems that models have learned from, as far as they are known."""
    from o1kit.control.learned import learned_texts
    from o1kit.errors import O1kitError

    texts: list[str] = []
    for path in folders:
        try:
            found, why = learned_texts(path), "it lies in no run that has any"
        except O1kitError as error:
            found, why = None, str(error)
        if not found:
            print(
                f"caution: no training problems of {path} are known, so the problems are not compared with any: {why}"
            )
        texts += found or []
    return list(dict.fromkeys(texts))


def score(
    run: Annotated[Path, typer.Argument(help="Folder of a run or of an evaluate stage.")],
    sets: Annotated[
        list[str],
        _sets("Change the recipe, as in --set tasks.heldout.sources[0].grader.kind=math (repeatable)."),
    ],
    recipe_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder that the recipe's paths start from.")
    ] = None,
) -> None:
    """Grade stored answers again, without generating any."""
    from o1kit.rescoring import rescore, stage_folder

    found = rescore(stage_folder(run), sets, recipe_dir)
    print("\n".join(_told(found)))


def _told(found: Rescored) -> list[str]:
    """What grading again has changed, in lines."""
    before, after = found.before.about, found.after.about
    lines = []
    for task in dict.fromkeys([*before.graders, *after.graders]):
        old, new = before.graders.get(task, "not recorded"), after.graders.get(task, "not recorded")
        lines.append(f"{task}: {old if old == new else f'{old} -> {new}'}")
    lines.append(f"{len(found.changes)} of {found.answers} different answers are judged otherwise")
    for change in found.changes[:EXAMPLES]:
        lines.append(f"  {change.problem}: {change.answer!r:.80}: {change.before} -> {change.after}")
    for row, now in zip(found.before.rows, found.after.rows, strict=True):
        if row.accuracy != now.accuracy:
            points = 100 * (now.accuracy - row.accuracy)
            values = f"{100 * row.accuracy:.1f} -> {100 * now.accuracy:.1f} ({points:+.1f})"
            lines.append(f"{now.policy} {now.search} {now.split}: {values}")
    return [*lines, f"results: {found.path}"]


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN [RUN]", help="Folders of one or two runs or stages.")],
) -> None:
    """Show which differences are significant, within a run or between two."""
    from o1kit.errors import RecipeError
    from o1kit.report.details import comparison_lines, detail_lines
    from o1kit.report.table import render_plain

    if len(runs) > 2:
        raise RecipeError("compare takes one run or two. Give the two that matter.")
    if len(runs) == 2:
        from o1kit.rescoring import compare_runs, other_graders

        print(f"{runs[0]} against {runs[1]}")
        print("\n".join(comparison_lines(compare_runs(*runs))))
        for task in other_graders(*runs):
            print(f"caution: {task} was graded otherwise in one run than in the other; o1kit score tells more")
        return
    results = _results(runs[0])
    print("\n".join([render_plain(results), "", *detail_lines(results)]))


def _results(path: Path) -> Results:
    from o1kit.report.results import FILE, read_results

    return read_results(path / FILE if path.is_dir() else path)
