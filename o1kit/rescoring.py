"""Stored outputs of an evaluation, graded again by the graders of today, and compared without generating anything."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from o1kit.errors import DataError, RecipeError
from o1kit.plan import compile_recipe
from o1kit.recipe.loader import load_recipe
from o1kit.recipe.schema import Recipe
from o1kit.report.output_schema import OutputLine, ProblemLine
from o1kit.report.outputs import FILE as OUTPUTS
from o1kit.report.outputs import Outputs, read_outputs
from o1kit.report.results import FILE as RESULTS
from o1kit.report.results import About, Comparison, ResultRow, Results, read_results, write_results
from o1kit.rewards.verifier import verifier_of
from o1kit.stages.evaluate.comparing import between, compare
from o1kit.stages.evaluate.config import EvaluateConfig
from o1kit.stages.evaluate.judged import best_of_n_gains
from o1kit.stages.evaluate.measuring import Measured, measure
from o1kit.stages.evaluate.storing import Cell
from o1kit.tasks.suite import Suite, build_suite
from o1kit.types import Problem, Score

RESCORED = "rescored.json"
"""Results of the graders of today, beside the old ones."""
_OF_OUTPUTS = {"scored_per_problem", "tasks", "outcomes", "oracle_pass_at_k", "pass_at_k"}
"""Parts of a row's `extra` that follow from the outputs; others are kept as they were measured.

`pass_at_k` is what earlier versions called `oracle_pass_at_k`.
"""


class Change(NamedTuple):
    """An answer that is judged otherwise than before."""

    problem: str
    answer: str | None
    before: str
    after: str


class Rescored(NamedTuple):
    """What grading again has changed."""

    before: Results
    after: Results
    answers: int
    """Different answers that were graded."""
    changes: tuple[Change, ...]
    path: Path
    """Where the new results lie."""


def stage_folder(path: Path) -> Path:
    """The folder with the outputs of an evaluation: of a run's last one, of a stage, or the folder of a results file.

    Raises:
        DataError: there are none.
    """
    folder = path.parent if path.is_file() else path
    if (folder / OUTPUTS).is_file():
        return folder
    if (folder / RESULTS).is_file():
        stage = read_results(folder / RESULTS).about.stage
        if stage and (folder / stage / OUTPUTS).is_file():
            return folder / stage
    raise DataError(
        f"{path}: holds no {OUTPUTS}. Give the folder of a run with an evaluation, or of an evaluate stage; "
        "runs of earlier versions of o1kit did not store their outputs: evaluate them again."
    )


def rescore(folder: Path, overrides: Sequence[str] = (), recipe_directory: Path | None = None) -> Rescored:
    """Grades the outputs in an evaluate stage's folder again, and writes `rescored.json` beside its results.

    Args:
        folder: see `stage_folder`.
        overrides: changes to the run's recipe, as for `o1kit run`: another grader, for example.
        recipe_directory: folder that relative paths start from; None: where it was.

    Raises:
        DataError: the outputs are damaged, or the problems are not those of the run any more.
        RecipeError: the recipe cannot be read, or finds answers in another way.
    """
    outputs, before = read_outputs(folder / OUTPUTS), read_results(folder / RESULTS)
    first, recipe = _recipes(folder, overrides)
    config = _section(recipe, outputs.header.stage, folder)
    directory = recipe_directory or Path(outputs.header.recipe_directory)
    suite = build_suite(recipe.tasks, recipe.seed, directory, recipe.grading)
    _check_problems(suite, outputs.problems.values())
    verdicts = _grade(suite, outputs)
    lines = [_graded(line, verdicts) for line in outputs.lines]
    changes = {
        Change(old.problem, answer, a, b): None
        for old, new in zip(outputs.lines, lines, strict=True)
        for answer, a, b in zip(old.answers, old.outcomes, new.outcomes, strict=True)
        if a != b
    }
    measured = _measured(outputs._replace(lines=tuple(lines)), config, before)
    base = {line.place: line.search for line in outputs.lines}
    titles = [base.get(i, "") for i in range(len(config.searches))]
    gains = best_of_n_gains(config, [one.row for one in measured], titles)
    reward = {**before.reward, "best_of_n": gains} if "best_of_n" in before.reward else before.reward
    after = replace(
        before,
        reward=reward,
        rows=tuple(one.row for one in measured),
        about=replace(
            before.about,
            o1kit=version("o1kit"),
            graders=suite.graders(),
            recipe_hash=_hash(first, recipe, before.about),
            overrides=(*before.about.overrides, *overrides),
        ),
        comparisons=tuple(compare(measured, config.compare_to, config.policies)),
    )
    write_results(folder / RESCORED, after)
    return Rescored(before, after, len(verdicts), tuple(changes), folder / RESCORED)


def compare_runs(first: Path, second: Path) -> list[Comparison]:
    """The rows of one run against those of another that have the same names, on the problems that both have.

    Problems are the same if their texts are, whatever they are called. Rows that used the ground truth are left out.

    Raises:
        DataError: a folder holds no outputs, or the two have no row or no problem in common.
    """
    folders = [stage_folder(path) for path in (first, second)]
    cells = [plain_cells(read_outputs(f / OUTPUTS), read_results(f / RESULTS).rows) for f in folders]
    found = between(*cells)
    if not found:
        raise DataError(f"{first} and {second} have no row with the same problems in common. Compare like with like.")
    return found


def other_graders(first: Path, second: Path) -> list[str]:
    """The tasks that were graded otherwise in one run than in another: their figures cannot be compared."""
    graders = [read_results(stage_folder(path) / RESULTS).about.graders for path in (first, second)]
    return [task for task in graders[0] if graders[1].get(task, graders[0][task]) != graders[0][task]]


def plain_cells(outputs: Outputs, rows: Sequence[ResultRow]) -> dict[tuple[str, str, str], Measured]:
    """Rows by policy, search and split, with the value of each problem, which is named by its text."""
    known = {(row.policy, row.search, row.split): row for row in rows if not row.oracle}
    marks: dict[tuple[str, str, str], dict[str, list[float]]] = {}
    for line in outputs.lines:
        name = (line.policy, line.search, line.split)
        if name in known:
            prompt = outputs.problems[line.problem].prompt
            marks.setdefault(name, {}).setdefault(prompt, []).append(sum(line.marks) / max(len(line.marks), 1))
    return {
        name: Measured(known[name], tuple(sum(v) / len(v) for v in found.values()), tuple(found))
        for name, found in marks.items()
    }


def _recipes(folder: Path, overrides: Sequence[str]) -> tuple[Recipe, Recipe]:
    """The run's recipe, and what the changes make of it."""
    path = folder.parent / "recipe.json"
    before, now = load_recipe(path), load_recipe(path, overrides)
    if before.grading.answer_rule != now.grading.answer_rule:
        raise RecipeError(
            f"grading.answer_rule: the stored answers were found by the rule {before.grading.answer_rule!r}, and "
            "searches have chosen between them. Grade them by other graders, or evaluate again with the new rule."
        )
    return before, now


def _hash(before: Recipe, now: Recipe, about: About) -> str:
    """The hash that the evaluation would have with the changed recipe; the old one where nothing has changed."""
    old, new = ({s.name: s.fingerprint for s in compile_recipe(r).stages}[about.stage] for r in (before, now))
    return about.recipe_hash if old == new else new


def _section(recipe: Recipe, name: str, folder: Path) -> EvaluateConfig:
    found = next((s for s in recipe.stages if isinstance(s, EvaluateConfig) and s.name == name), None)
    if found is None:
        raise DataError(f"{folder.parent / 'recipe.json'}: has no evaluate stage {name!r}. Is {folder} from that run?")
    return found


def _check_problems(suite: Suite, problems: Iterable[ProblemLine]) -> None:
    """Makes sure that answers are held against the truths of their own problems."""
    now: dict[str, dict[str, str]] = {}
    for line in problems:
        if line.split not in now:
            now[line.split] = {problem.id: problem.prompt for problem in suite.problems(line.split)}
        if now[line.split].get(line.id) != line.prompt:
            raise DataError(
                f"problem {line.id} is not what it was when it was answered: the recipe's data, its sources or "
                "reasoning_gym have changed. Evaluate again."
            )


def _grade(suite: Suite, outputs: Outputs) -> dict[tuple[str, str | None], Score]:
    """A verdict for each different answer to each problem."""
    wanted = list(dict.fromkeys((line.problem, answer) for line in outputs.lines for answer in line.answers))
    asked = {line.id: Problem(line.id, line.task, line.prompt) for line in outputs.problems.values()}
    verifier = verifier_of(suite)
    with verifier.pool:
        scores = verifier.score_answers([(suite.truth(asked[name]), answer) for name, answer in wanted])
        verifier.check(end=True)
    return dict(zip(wanted, scores, strict=True))


def _graded(line: OutputLine, verdicts: dict[tuple[str, str | None], Score]) -> OutputLine:
    found = [verdicts[line.problem, answer] for answer in line.answers]
    return line.model_copy(update={"outcomes": [s.outcome for s in found], "marks": [s.value for s in found]})


def _measured(outputs: Outputs, config: EvaluateConfig, before: Results) -> list[Measured]:
    """All rows anew, in the order of the old ones; what does not follow from the outputs is taken over."""
    cells: dict[Cell, list[list[OutputLine]]] = {}
    for line in outputs.lines:
        decides = config.searches[line.place].bound is None
        cell = Cell(line.policy, line.search, line.split, line.place, line.oracle, decides)
        runs = cells.setdefault(cell, [])
        runs += [[] for _ in range(line.seed + 1 - len(runs))]
        runs[line.seed].append(line)
    tasks = {name: problem.task for name, problem in outputs.problems.items()}
    found: dict[tuple[str, str, str], Measured] = {}
    for cell, runs in cells.items():
        for one in measure(cell, config.searches[cell.place], runs, tasks, config.pass_at):
            found[one.row.policy, one.row.search, one.row.split] = one
    measured = []
    for row in before.rows:
        new = found[row.policy, row.search, row.split]
        kept = {name: value for name, value in row.extra.items() if name not in _OF_OUTPUTS}
        measured.append(new._replace(row=replace(new.row, extra={**kept, **new.row.extra})))
    return measured
