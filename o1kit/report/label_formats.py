"""Rows of other programs' step labels as records: PRM800K, Math-Shepherd, OpenR, TRL; and records as TRL's rows.

Steps become lines: each ends with a line break, but for the last one of a finished chain. `docs/labels.md` shows the
formats. Every function here raises a ValueError that says what is wrong with a row; the file's reader adds where.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from o1kit.config import Probability
from o1kit.report.label_schema import LabelRecord, Provenance

Label = float | None
BREAK = "\n"
SHEPHERD_MARK, OPENR_MARK = "ки", "\n\n\n\n\n"
SIGNS = {"+": 1.0, "-": 0.0}
ANSWER = "# Answer"
"""Begins the end of a PRM800K solution."""


class Options(NamedTuple):
    """How rows are read where a format leaves a choice."""

    neutral: Literal["good", "bad", "unknown"] = "good"
    """What PRM800K's rating 0 becomes."""
    mark: str | None = None
    """Text that ends a step in Math-Shepherd's and OpenR's rows; None: that of the published files."""


DEFAULT = Options()


class _Foreign(BaseModel):
    """A row of another program: what is needed of it is checked, the rest is left alone."""

    model_config = ConfigDict(extra="ignore", strict=True, frozen=True, allow_inf_nan=False)


def _record(
    prompt: str, steps: Sequence[str], labels: Sequence[Label], source: str, *, correct: bool | None = None
) -> LabelRecord:
    if len(steps) != len(labels):
        raise ValueError(f"{len(labels)} labels for {len(steps)} steps")
    if not steps:
        raise ValueError("there are no steps")
    name = f"{source}/{hashlib.sha256(prompt.encode()).hexdigest()[:16]}"
    return LabelRecord(
        problem=name,
        prompt=prompt,
        steps=list(steps),
        labels=list(labels),
        correct=correct,
        provenance=Provenance(source=source),
    )


def _lines(texts: Sequence[str], finished: bool = True) -> list[str]:
    """Steps with a line break after each, but for the end of a finished chain."""
    return [text + BREAK for text in texts[:-1]] + [text + ("" if finished else BREAK) for text in texts[-1:]]


# ---- PRM800K (arXiv 2305.20050) ----------------------------------------------------------------------------------


class _Completion(_Foreign):
    text: str
    rating: Literal[-1, 0, 1] | None = None


class _Step(_Foreign):
    completions: list[_Completion] | None = None
    human_completion: _Completion | None = None
    chosen_completion: int | None = None


class _Label(_Foreign):
    steps: list[_Step]
    finish_reason: Literal["solution", "found_error", "give_up", "bad_problem"]


class _Question(_Foreign):
    problem: str


class _Prm800k(_Foreign):
    question: _Question
    label: _Label


def prm800k(row: object, options: Options = DEFAULT) -> list[LabelRecord]:
    """The solution that the labeller followed, then one record for each other step that was offered on the way.

    A step that a labeller wrote is good. What follows the first bad step has no label. Of a `bad_problem` nothing is
    kept. Where nothing was chosen the labelling ended, and the first step offered there ends the solution.
    """
    found = _Prm800k.model_validate(row)
    prompt, reason = found.question.problem, found.label.finish_reason
    if reason == "bad_problem":
        return []
    texts: list[str] = []
    labels: list[Label] = []
    others: list[LabelRecord] = []
    failed = False
    for number, step in enumerate(found.label.steps, 1):
        chosen, rest = _chosen(step, number)
        for other in rest:
            label = _rated(other, options)
            if label is not None and not failed:
                lines = _lines([*texts, other.text], finished=ANSWER in other.text)
                others.append(_record(prompt, lines, [None] * len(texts) + [label], "prm800k"))
        if chosen is None:
            break
        label = None if failed else _rated(chosen, options)
        texts.append(chosen.text)
        labels.append(label)
        failed = failed or label == 0
    if not texts:
        return others
    done = reason == "solution"
    lines = _lines(texts, finished=done or ANSWER in texts[-1])
    return [_record(prompt, lines, labels, "prm800k", correct=True if done else None), *others]


def _chosen(step: _Step, number: int) -> tuple[_Completion | None, list[_Completion]]:
    """The step that was followed and the others."""
    offered = list(step.completions or ())
    if step.chosen_completion is not None:
        if not 0 <= step.chosen_completion < len(offered):
            raise ValueError(f"step {number}: completion {step.chosen_completion} of {len(offered)} was chosen")
        return offered.pop(step.chosen_completion), offered
    if step.human_completion is not None:
        return step.human_completion.model_copy(update={"rating": 1}), offered
    return (offered.pop(0) if offered else None), offered


def _rated(completion: _Completion, options: Options) -> Label:
    if completion.rating == 0:
        return {"good": 1.0, "bad": 0.0, "unknown": None}[options.neutral]
    return None if completion.rating is None else float(completion.rating > 0)


# ---- Math-Shepherd (arXiv 2312.08935) ----------------------------------------------------------------------------


class _Shepherd(_Foreign):
    input: str
    label: str


def math_shepherd(row: object, options: Options = DEFAULT) -> list[LabelRecord]:
    """A problem and its steps, `Step 1: ...` and so on, each with a mark behind it that `label` replaces by + or -."""
    found, mark = _Shepherd.model_validate(row), options.mark or SHEPHERD_MARK
    parts = found.input.split(mark)
    if len(parts) < 2:
        raise ValueError(f"input has no mark {mark!r} after its steps")
    if parts[-1].strip():
        raise ValueError(f"input goes on after the last mark: {parts[-1].strip()[:40]!r}")
    labels: list[Label] = []
    place = 0
    for number, part in enumerate(parts[:-1], 1):
        end = place + len(part)
        sign = found.label[end : end + 1]
        if found.label[place:end] != part or sign not in SIGNS:
            raise ValueError(f"label differs from input before mark {number}, or has neither + nor - in its place")
        labels.append(SIGNS[sign])
        place = end + 1
    begin = parts[0].find("Step 1:")
    if begin < 0:
        raise ValueError("input has no 'Step 1:', where the problem ends")
    steps = [parts[0][begin:].strip(), *(part.strip() for part in parts[1:-1])]
    return [_record(parts[0][:begin].strip(), _lines(steps), labels, "math_shepherd")]


# ---- OpenR (arXiv 2410.09671) ------------------------------------------------------------------------------------


class _Converted(_Foreign):
    question: str
    process: str
    label: list[Literal["+", "-"]]


class _Prefix(_Foreign):
    solution_prefix: str
    mc_value: Probability | None


class _Node(_Foreign):
    text: str
    mc_value: Probability | None = None
    children: list[_Node] = []


class _Grown(_Foreign):
    question: str
    reasoning_steps: _Node | list[_Prefix] = Field(union_mode="left_to_right")


def openr(row: object, options: Options = DEFAULT) -> list[LabelRecord]:
    """OpenR's rows: `process` with marks and a list of signs; or the tree, or list of prefixes, of one question."""
    if isinstance(row, Mapping) and "process" in row:
        found, mark = _Converted.model_validate(row), options.mark or OPENR_MARK
        steps = [part.strip() for part in found.process.split(mark)]
        steps = steps[:-1] if not steps[-1] else steps
        return [_record(found.question, _lines(steps), [SIGNS[sign] for sign in found.label], "openr")]
    if isinstance(row, Mapping) and "children" in row:
        root = _Node.model_validate(row)
        return list(_paths(root.text, root))
    grown = _Grown.model_validate(row)
    if isinstance(grown.reasoning_steps, _Node):
        return list(_paths(grown.question, grown.reasoning_steps))
    return [_prefix(grown.question, prefix) for prefix in grown.reasoning_steps]


def _prefix(question: str, prefix: _Prefix) -> LabelRecord:
    text = prefix.solution_prefix
    if not text.startswith(question):
        raise ValueError("a solution_prefix does not begin with its question")
    steps = _parts(text[len(question) :])
    return _record(question, _lines(steps, False), [None] * (len(steps) - 1) + [prefix.mc_value], "openr")


def _parts(text: str) -> list[str]:
    return [part.strip() for part in text.split("\n\n") if part.strip()]


def _paths(question: str, root: _Node) -> Iterator[LabelRecord]:
    """The chains from the root to every leaf; a node's value stands in the first of them only."""
    pending: list[tuple[_Node, list[str], list[Label]]] = [(root, [], [])]
    while pending:
        node, steps, labels = pending.pop()
        if node is not root:
            mine = _parts(node.text)
            steps = steps + mine
            labels = labels + [None] * (len(mine) - 1) + [node.mc_value] * bool(mine)
        if not node.children and steps:
            yield _record(question, _lines(steps, False), labels, "openr")
        known: list[Label] = [None] * len(labels)
        for i, child in reversed(list(enumerate(node.children))):
            pending.append((child, steps, labels if i == 0 else known))


# ---- TRL ---------------------------------------------------------------------------------------------------------


class _Trl(_Foreign):
    prompt: str
    completions: list[str]
    labels: list[bool | Probability]


def trl(row: object, options: Options = DEFAULT) -> list[LabelRecord]:
    """TRL's stepwise rows. Labels may be true and false, or numbers from 0 to 1, which stay what they are."""
    found = _Trl.model_validate(row)
    return [_record(found.prompt, _lines(found.completions), list(map(float, found.labels)), "trl")]


def to_trl(record: LabelRecord, threshold: float | None = None) -> dict[str, Any] | None:
    """A record as a row of TRL's; None without any label. Steps without one are joined with the step that follows.

    TRL learns from true and false. `threshold` makes them of soft labels: true from that value on.

    Raises:
        ValueError: a label is neither 0 nor 1, and there is no threshold.
    """
    completions: list[str] = []
    labels: list[bool] = []
    waiting = ""
    for step, label in zip(record.steps, record.labels, strict=True):
        waiting += step
        if label is None:
            continue
        if threshold is None and label not in (0.0, 1.0):
            raise ValueError(
                f"the label {label:g} is soft, and TRL reads it as true. Say from where on with --threshold"
            )
        completions.append(waiting)
        labels.append(label >= (0.5 if threshold is None else threshold))
        waiting = ""
    if not labels:
        return None
    cut = [text.removesuffix(BREAK) for text in completions[:-1]] + completions[-1:]
    return {"prompt": record.prompt, "completions": cut, "labels": labels}


def own(row: object, options: Options = DEFAULT) -> list[LabelRecord]:
    """o1kit's own rows."""
    return [LabelRecord.model_validate(row)]


READERS: Mapping[str, Callable[[object, Options], list[LabelRecord]]] = {
    "o1kit": own,
    "prm800k": prm800k,
    "math_shepherd": math_shepherd,
    "openr": openr,
    "trl": trl,
}
