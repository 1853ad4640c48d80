"""What a reward model is worth: how well it predicts step labels, and what choosing by it gains."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from hashlib import blake2b
from itertools import product, takewhile
from pathlib import Path
from typing import Any, NamedTuple

from o1kit.artifacts import sha256_of
from o1kit.engines.policy import PromptTemplate
from o1kit.engines.spelling import is_finished, spell_record
from o1kit.errors import DataError
from o1kit.functional.overlap import normalised
from o1kit.functional.process_metrics import (
    NO_ERROR,
    best_threshold,
    first_error,
    inner_and_ends,
    process_bench_f1,
    reliability,
    step_accuracy,
    within_auc,
)
from o1kit.functional.statistics import expected_calibration_error, roc_auc
from o1kit.protocols import StageInputs, StepReward
from o1kit.report.label_files import import_labels
from o1kit.report.label_formats import Options
from o1kit.report.label_schema import LabelRecord
from o1kit.report.labels import LABELS, read_labels
from o1kit.report.results import ResultRow
from o1kit.search.config import BestOfNConfig, SampleConfig
from o1kit.stages.evaluate.config import EvaluateConfig
from o1kit.stages.labels.config import FileLabelsConfig
from o1kit.stages.searching import run_all
from o1kit.types import Action, Completion, Finish, Problem, State


class JudgedChain(NamedTuple):
    """A labelled chain and what the judge says after each of its steps."""

    problem: str
    labels: tuple[float | None, ...]
    scores: tuple[float, ...]
    ended: bool = True
    """Whether its last step is its end."""


def judge_metrics(
    inputs: StageInputs,
    judge: StepReward,
    template: PromptTemplate,
    rows: Sequence[ResultRow],
    titles: Sequence[str],
    level: str = "step",
    oracle: bool = False,
    learned: Collection[str] = (),
) -> dict[str, Any]:
    """All that is known of the judge; empty if the recipe asks for nothing that tells.

    Args:
        inputs: of the stage.
        judge: what is measured.
        template: turns labelled text into tokens.
        rows: what was measured of the searches.
        titles: what each of the recipe's searches is called.
        level: `outcome` for a judge of whole chains. It is measured at their ends only: its score of a finished chain
            would tell of every step what came after it.
        oracle: True if it uses the ground truth: its name then says so.
        learned: texts of problems whose labels it was trained on, normalised. Chains of these are left out: it would
            be measured on what it was told.

    Raises:
        DataError: the labels cannot be read, or there are none.
    """
    config: EvaluateConfig = inputs.config
    found: dict[str, Any] = {}
    gains = best_of_n_gains(config, rows, titles)
    if gains:
        found["best_of_n"] = gains
    if config.labels is not None:
        path, found_records = labelled(inputs)
        given = [record for record in found_records if any(x is not None for x in record.labels)]
        if not given:
            raise DataError(f"{path}: no step has a label. Give labelled chains.")
        records = [record for record in given if not learned or normalised(record.prompt) not in learned]
        if not records:
            text = f"{path}: the judge was trained on labels of all these problems, which would flatter it."
            raise DataError(f"{text} Label other problems.")
        chains = run_all(records, lambda _, record: judged(record, judge, template), label="judge on labelled chains")
        if level == "outcome":
            chains = [c._replace(labels=c.labels[-1:], scores=c.scores[-1:]) for c in chains]
            chains = [c for c in chains if c.labels[0] is not None]
            if not chains:
                raise DataError(f"{path}: no chain has a label at its end, and the judge judges whole chains.")
        sources = sorted({record.provenance.source for record in records})
        about = {"sha256": sha256_of(path), "sources": sources, "left_out": len(given) - len(records)}
        found |= {"labels": about, **label_metrics(chains, level)}
    name = f"{judge_of(config)} oracle" if oracle else judge_of(config)
    return {"judge": name, "oracle": oracle, **found} if found else {}


def judge_of(config: EvaluateConfig) -> str:
    """What judges, in words: a stage, a folder, or the kind of a reward; empty for nothing."""
    if config.judge_folder is not None or config.judge is None:
        return config.judge_folder or ""
    return config.judge if isinstance(config.judge, str) else config.judge.kind


def labelled(inputs: StageInputs) -> tuple[Path, Iterator[LabelRecord]]:
    """The file of labelled chains that the recipe names, and what it holds."""
    labels = inputs.config.labels
    if isinstance(labels, FileLabelsConfig):
        path = inputs.recipe_directory / labels.path
        return path, import_labels(path, labels.format, Options(labels.neutral, labels.mark))
    path = inputs.artifacts[labels.stage].directory / LABELS
    return path, read_labels(path)


async def judged(record: LabelRecord, judge: StepReward, template: PromptTemplate) -> JudgedChain:
    """A labelled chain with the judge's scores."""
    chain = chain_of(record, template)
    return JudgedChain(record.problem, tuple(record.labels), await judge.step_scores(chain), chain.terminal)


def chain_of(record: LabelRecord, template: PromptTemplate) -> State:
    """The chain of a record, as if it had been sampled; text without tokens is read with the policy's tokenizer.

    Raises:
        DataError: its tokens are another tokenizer's.
    """
    spelled = spell_record(template, record)
    actions = []
    for i, (text, ids) in enumerate(zip(record.steps, spelled.step_ids, strict=True)):
        finish: Finish = "step"
        if i + 1 == len(record.steps) and is_finished(record):
            finish = "answer" if ids[-1:] == (template.eos_id,) else "length"
        told = record.step_logprobs[i] if record.step_logprobs else []
        given = sum(1 for _ in takewhile(lambda x: x is None, told))
        logprobs = tuple(0.0 if x is None else x for x in told)
        actions.append(Action(text, Completion(ids, logprobs, finish, given=given)))
    problem = Problem(record.problem, "labels", record.prompt)
    return State(problem, spelled.prompt_ids or tuple(template.prompt(problem)), tuple(actions))


def label_metrics(chains: Sequence[JudgedChain], level: str = "step") -> dict[str, Any]:
    """Accuracy, AUC, calibration and ProcessBench's F1 of a judge's step scores.

    Steps without a label are left out. AUC and F1 need both kinds of labels, and are left out where there is one only.
    A label of at least one half is good. `auc_whole_chains` is that of chains whose every step has a label: completions
    that were drawn to label a step are chains with a label at their end only, and are many. `f1_tuned` uses the
    threshold that is best on one half of the problems, and is measured on the other half.
    """
    steps = [
        (c.problem, s, y, c.ended and i == len(c.labels) - 1)
        for c in chains
        for i, (s, y) in enumerate(zip(c.scores, c.labels, strict=True))
        if y is not None
    ]
    problems, scores, labels, ends = (list(column) for column in zip(*steps, strict=True))
    good = [y >= 0.5 for y in labels]
    found: dict[str, Any] = {
        "chains": len(chains),
        "steps": len(steps),
        "good_share": sum(good) / len(good),
        "step_accuracy": step_accuracy(scores, labels),
        "calibration_error": expected_calibration_error(scores, labels),
        "reliability": [row._asdict() for row in reliability(scores, labels)],
    }
    for part, (error, auc) in inner_and_ends(scores, labels, ends).items():
        found |= {f"calibration_error_{part}": error} | ({f"auc_{part}": auc} if auc is not None else {})
    if _both(good):
        found["auc"] = roc_auc(scores, good)
    if level == "step" and (auc := _auc_whole(chains)) is not None:
        found["auc_whole_chains"] = auc
    within = within_auc(scores, good, problems)
    if within.auc is not None:
        found |= {"auc_within_problem": within.auc, "problems_within": within.problems}
    return found | (_first_errors(chains) if level == "step" else {})


def _auc_whole(chains: Sequence[JudgedChain]) -> float | None:
    whole = [c for c in chains if None not in c.labels]
    scores = [score for c in whole for score in c.scores]
    good = [y >= 0.5 for c in whole for y in c.labels if y is not None]
    return roc_auc(scores, good) if _both(good) else None


def _first_errors(chains: Sequence[JudgedChain]) -> dict[str, Any]:
    """F1 as ProcessBench defines it, for chains whose labels are known up to the first error."""
    known = [(c, error) for c in chains if (error := true_error(c.labels)) is not None]
    found: dict[str, Any] = {}
    bench = process_bench_f1([error for _, error in known], [first_error(c.scores) for c, _ in known])
    if bench.f1 is not None:
        found |= {"f1": bench.f1, "f1_on_wrong": bench.error_accuracy, "f1_on_right": bench.correct_accuracy}
    halves: list[list[tuple[JudgedChain, int]]] = [[], []]
    for chain, error in known:
        halves[blake2b(chain.problem.encode(), digest_size=1).digest()[0] & 1].append((chain, error))
    if all(_both(error == NO_ERROR for _, error in half) for half in halves):
        tuning, rest = halves
        threshold = best_threshold([error for _, error in tuning], [c.scores for c, _ in tuning])
        seen = [first_error(c.scores, threshold) for c, _ in rest]
        bench = process_bench_f1([error for _, error in rest], seen)
        found |= {"f1_tuned": bench.f1, "threshold": threshold}
    return found


def true_error(labels: Sequence[float | None]) -> int | None:
    """Index of the first step with a label below one half, `NO_ERROR`, or None if labels before it are missing."""
    for i, value in enumerate(labels):
        if value is None:
            return None
        if value < 0.5:
            return i
    return NO_ERROR


def _both(verdicts: Iterable[bool]) -> bool:
    return len(set(verdicts)) == 2


def best_of_n_gains(config: EvaluateConfig, rows: Sequence[ResultRow], titles: Sequence[str]) -> list[dict[str, Any]]:
    """What the judge's choice among N samples gains over one sample and over their majority, where those are known.

    Only searches that draw their samples alike are compared: `gain_pass_at_1`, and `gain_majority` at the same N.
    """
    cells = {(row.policy, row.search, row.split): row.accuracy for row in rows}
    named = list(zip(config.searches, titles, strict=True))
    plain = {str(s.decoding): title for s, title in named if isinstance(s, SampleConfig)}
    votes = {_drawn(s): title for s, title in named if isinstance(s, BestOfNConfig) and s.select == "majority"}
    found = []
    for search, title in named:
        if not isinstance(search, BestOfNConfig) or search.judge != "judge":
            continue
        others = {"gain_pass_at_1": plain.get(str(search.decoding)), "gain_majority": votes.get(_drawn(search))}
        for policy, split in product(config.policies, config.splits):
            base = cells.get((policy, title, split))
            gains = {
                name: base - cells[policy, other, split]
                for name, other in others.items()
                if base is not None and other is not None
            }
            if gains:
                found.append({"policy": policy, "search": title, "split": split, **gains})
    return found


def _drawn(search: BestOfNConfig) -> str:
    """How a search draws its samples, in words."""
    return str((search.decoding, search.num_samples, search.adaptive, search.token_budget, search.diversity))
