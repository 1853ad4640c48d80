"""Recorded chains as tokens: as they were sampled, or as a tokenizer spells their text, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from o1kit.engines.policy import DELIMITER, PromptTemplate
from o1kit.errors import DataError
from o1kit.report.label_schema import LabelRecord, PairRecord
from o1kit.types import Problem


class Spelling(NamedTuple):
    """A chain in tokens; `forced` steps would have shared a token with the next one, and were kept apart."""

    prompt_ids: tuple[int, ...]
    step_ids: tuple[tuple[int, ...], ...]
    forced: int = 0

    @property
    def chain_ids(self) -> list[int]:
        """The tokens after the prompt."""
        return [token for step in self.step_ids for token in step]


def spell_steps(template: PromptTemplate, steps: Sequence[str]) -> tuple[list[list[int]], int]:
    """The tokens of each step, and after how many of them a token boundary had to be forced.

    Together they are the tokens of the joined text, as long as a token ends where each step does. A tokenizer that
    would put the end of one step and the beginning of the next into one token gets them apart: there is no other
    position at which that step alone could be read.
    """
    cuts: list[int] = [0]
    while True:
        segments = [steps[a:b] for a, b in zip(cuts, [*cuts[1:], len(steps)], strict=True)]
        parts = [_aligned(template, segment) for segment in segments]
        broken = next((i for i, part in enumerate(parts) if isinstance(part, int)), None)
        if broken is None:
            return [ids for part in parts if not isinstance(part, int) for ids in part], len(cuts) - 1
        first = parts[broken]
        assert isinstance(first, int)
        cuts = sorted({*cuts, cuts[broken] + first})


def _aligned(template: PromptTemplate, steps: Sequence[str]) -> list[list[int]] | int:
    """Tokens of the joined steps cut at the ends of steps, or after how many steps that is first impossible."""
    whole, found, before = template.encode("".join(steps)), [], 0
    for n in range(1, len(steps) + 1):
        prefix = template.encode("".join(steps[:n])) if n < len(steps) else whole
        if whole[: len(prefix)] != prefix:
            return n
        found.append(whole[before : len(prefix)])
        before = len(prefix)
    return found


def spell(template: PromptTemplate, problem: Problem, steps: Sequence[str], ended: bool) -> Spelling:
    """Prompt and steps of a text; a chain that ended has the end-of-text token as the last one of its last step."""
    found, forced = spell_steps(template, steps)
    if ended:
        found[-1] = [*found[-1], template.eos_id]
    return Spelling(tuple(template.prompt(problem)), tuple(map(tuple, found)), forced)


def is_finished(record: LabelRecord) -> bool:
    """Whether a chain has come to its end: its answer was judged, or its last step does not end as inner ones do."""
    return record.correct is not None or not record.steps[-1].endswith(DELIMITER)


def spell_record(template: PromptTemplate, record: LabelRecord) -> Spelling:
    """The tokens of a labelled chain.

    Raises:
        DataError: it brings tokens that say something else than its text with this tokenizer.
    """
    if not record.step_ids:
        return spell(template, Problem(record.problem, "", record.prompt), record.steps, is_finished(record))
    said = [template.decode(ids) for ids in record.step_ids]
    if said != record.steps and template.decode([i for ids in record.step_ids for i in ids]) != "".join(record.steps):
        raise _other_tokenizer(record.problem, "".join(said), "".join(record.steps))
    prompt = record.prompt_ids or template.prompt(Problem(record.problem, "", record.prompt))
    return Spelling(tuple(prompt), tuple(map(tuple, record.step_ids)))


def spell_pair(template: PromptTemplate, record: PairRecord) -> tuple[Spelling, Spelling]:
    """The tokens of the better chain and of the other.

    Raises:
        DataError: it brings tokens that say something else than its text with this tokenizer.
    """
    problem = Problem(record.problem, "", record.prompt)
    found = []
    for steps, ids in ((record.chosen, record.chosen_ids), (record.rejected, record.rejected_ids)):
        text = "".join(steps)
        if not ids:
            found.append(spell(template, problem, steps, not text.endswith(DELIMITER)))
            continue
        if template.decode(ids) != text:
            raise _other_tokenizer(record.problem, template.decode(ids), text)
        prompt = tuple(record.prompt_ids or template.prompt(problem))
        found.append(Spelling(prompt, split_steps(template, ids)))
    return found[0], found[1]


def split_steps(template: PromptTemplate, token_ids: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Tokens cut into steps where a search cuts them: after each token that ends one."""
    ends = [i + 1 for i, token in enumerate(token_ids[:-1]) if token in template.step_ids] + [len(token_ids)]
    return tuple(tuple(token_ids[a:b]) for a, b in zip([0, *ends[:-1]], ends, strict=True))


def _other_tokenizer(problem: str, said: str, text: str) -> DataError:
    return DataError(
        f"problem {problem!r}: its recorded tokens say {said[:60]!r} with this model's tokenizer, and its text is "
        f"{text[:60]!r}. They are another tokenizer's: leave the tokens out of the file, so that the text is read."
    )
