"""`LabelledChain`: a record of step labels as tokens with labels at positions, and back."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from o1kit.engines.policy import DELIMITER, PromptTemplate
from o1kit.report.label_schema import LabelRecord, Provenance
from o1kit.types import Problem


class LabelledChain(NamedTuple):
    """A chain with labels in [0, 1]; `ends` are the positions of the last tokens of the steps that have one."""

    problem_id: str
    text: str
    token_ids: tuple[int, ...]
    ends: tuple[int, ...]
    labels: tuple[float, ...]


def chain_of(record: LabelRecord, template: PromptTemplate) -> LabelledChain:
    """A record as tokens: as they were sampled, or those of its text; steps without a label have no end in it.

    The end-of-text token belongs to the last step of a finished chain, and is where that step is read. Text from
    elsewhere is finished if it does not end with a step delimiter.
    """
    prompt_ids, step_ids = record.prompt_ids, record.step_ids
    if not step_ids:
        prompt_ids = template.prompt(Problem(record.problem, "", record.prompt))
        step_ids = [template.encode(step) for step in record.steps]
        if not record.steps[-1].endswith(DELIMITER):
            step_ids[-1].append(template.eos_id)
    ends = tuple(accumulate(map(len, step_ids), initial=len(prompt_ids)))[1:]
    known = [(end - 1, label) for end, label in zip(ends, record.labels, strict=True) if label is not None]
    return LabelledChain(
        record.problem,
        "".join(record.steps),
        (*prompt_ids, *(token for step in step_ids for token in step)),
        tuple(end for end, _ in known),
        tuple(label for _, label in known),
    )


def record_of_chain(
    chain: LabelledChain, problem: Problem, template: PromptTemplate, provenance: Provenance
) -> LabelRecord:
    """A chain as a record; its steps end where the tokenizer's delimiters are."""
    prompt_ids = template.prompt(problem)
    tokens = chain.token_ids[len(prompt_ids) :]
    stops = [i + 1 for i, token in enumerate(tokens[:-1]) if token in template.step_ids] + [len(tokens)]
    step_ids = [list(tokens[a:b]) for a, b in zip([0, *stops[:-1]], stops, strict=True)]
    labels = dict(zip(chain.ends, chain.labels, strict=True))
    return LabelRecord(
        problem=problem.id,
        prompt=problem.prompt,
        steps=[template.decode(ids) for ids in step_ids],
        labels=[labels.get(len(prompt_ids) + stop - 1) for stop in stops],
        prompt_ids=prompt_ids,
        step_ids=step_ids,
        provenance=provenance,
    )


def chains_of(records: Sequence[LabelRecord], template: PromptTemplate) -> list[LabelledChain]:
    """All records that have a label at all, as tokens."""
    return [chain for chain in (chain_of(record, template) for record in records) if chain.ends]
