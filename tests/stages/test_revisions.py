"""Chains criticised by a principle and revised, and the pairs they make: exact prompts, and through the stages."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from o1kit.decoding import Decoding
from o1kit.errors import DataError, RecipeError
from o1kit.functional.keys import derive
from o1kit.protocols import Span
from o1kit.recipe.loader import load_recipe
from o1kit.report.label_schema import LabelRecord, Provenance
from o1kit.report.labels import read_pairs, record_line
from o1kit.stages.labels.config import RevisionLabelsConfig
from o1kit.stages.labels.desk import Desk
from o1kit.stages.labels.revision import Revision
from o1kit.stages.pairs.config import RevisionPairsConfig
from o1kit.stages.pairs.pairs import revision_pairs
from o1kit.stages.pairs.stage import PairsStage
from o1kit.types import Action, Completion, Problem, State
from tests.small import built, small
from tests.stages.test_label_stages import Parity, _sometimes_right, records, run, start
from tests.stages.test_labels import MONTE_CARLO

__all__ = ["_sometimes_right", "start"]  # fixtures

CHAIN = LabelRecord(
    problem="p",
    prompt="1+1=?",
    steps=["one\n", "3"],
    labels=[0.5, 0.0],
    correct=False,
    prompt_ids=[7, 8],
    step_ids=[[1, 2], [3]],
    provenance=Provenance(source="monte_carlo", policy="writer", completions=4, temperature=0.7, estimate="soft"),
)
PROMPTS = {
    "critique_prompt": "{problem}|{chain}|{principle}",
    "revision_prompt": "{problem}|{chain}|{principle}|{critique}",
}


class Writer:
    """A policy that says `hm` of every chain and writes the given ones anew, in turn."""

    def __init__(self, *chains: str, room: int = 999) -> None:
        self.chains, self.room, self.asked = list(chains), room, list[tuple[Any, ...]]()

    def start(self, problem: Problem) -> State:
        if len(problem.prompt) > self.room:
            raise DataError("too long")
        return State(problem, (0,))

    async def propose(self, state: State, n: int, *, key: int, decoding: Decoding, span: Span) -> list[Action]:
        self.asked.append((state.problem.prompt, key, span.max_tokens, decoding.temperature))
        return [Action(" hm \n", Completion((5, 6), (-1.0, -1.0), "length"))]

    async def complete(self, state: State, n: int, *, key: int, decoding: Decoding) -> list[State]:
        self.asked.append((state.problem.prompt, key, None, decoding.temperature))
        steps = self.chains.pop(0).splitlines(keepends=True)
        last = len(steps) - 1
        done = [Action(s, Completion((9,), (-1.0,), "answer" if i == last else "step")) for i, s in enumerate(steps)]
        return [State(state.problem, state.prompt_ids, tuple(done))]


def revised(writer: Any, known: Sequence[str] = ("p",), **options: Any) -> tuple[list[LabelRecord], Revision]:
    options = {"principles": ["Be brief."], **PROMPTS, **options}
    config = RevisionLabelsConfig(kind="revision", of="mc", **options)
    source = Revision(config, Desk(writer, Parity(), (), 5, "asked"), known)
    return asyncio.run(source.label(2, CHAIN)), source


def test_a_chain_is_criticised_and_written_anew() -> None:
    writer = Writer("two\nis\n2")
    (found,), source = revised(writer, critique_tokens=11, temperature=0.5)
    key = derive(derive(5, 2), 0)
    assert writer.asked == [
        ("1+1=?|one\n3|Be brief.", derive(key, 1), 11, 0.5),
        ("1+1=?|one\n3|Be brief.|hm", derive(key, 2), None, 0.5),
    ]
    assert found.steps == ["two\n", "is\n", "2"] and found.step_ids == [[9], [9], [9]]
    assert (found.problem, found.prompt, found.prompt_ids) == ("p", "1+1=?", [7, 8])
    assert (found.revised, found.revised_ids) == (CHAIN.steps, CHAIN.step_ids)
    verdict = asyncio.run(Parity().score(State(Problem("p", "labels", "1+1=?"), (7, 8), _actions(found)))).value
    assert found.labels == [None, None, verdict] and found.correct == (verdict > 0)
    assert found.tokens == 5, "two of the critique and three of the revision"
    assert found.provenance == Provenance(source="revision", policy="writer", temperature=0.7, judge="asked", seed=5)
    assert source.stats == {"unchanged": 0, "not_asked": 0}


def _actions(record: LabelRecord) -> tuple[Action, ...]:
    last = len(record.steps) - 1
    ends = ["answer" if i == last else "step" for i in range(last + 1)]
    return tuple(Action(s, Completion((9,), (-1.0,), e)) for s, e in zip(record.steps, ends, strict=True))  # type: ignore[arg-type]


def test_rounds_go_on_from_the_revision_and_draw_principles() -> None:
    writer = Writer("a", "b", "c", "d", "e", "f", "g", "h")
    (found,), _ = revised(writer, rounds=8, principles=["One.", "Two."])
    drawn = [prompt.split("|")[2] for prompt, *_ in writer.asked]
    assert set(drawn) == {"One.", "Two."} and drawn[::2] == drawn[1::2], "critique and revision are of one principle"
    assert [prompt.split("|")[1] for prompt, *_ in writer.asked[::2]] == ["one\n3", *"abcdefg"]
    assert found.steps == ["h"] and found.tokens == 8 * 3


def test_what_does_not_change_or_fit_is_counted_and_left_out() -> None:
    same, source = revised(Writer("one\n3"))
    assert same == [] and source.stats == {"unchanged": 1, "not_asked": 0}
    none, source = revised(Writer("x", room=5))
    assert none == [] and source.stats == {"unchanged": 0, "not_asked": 1}
    longer = Writer("y" * 30, "x", room=40)
    (kept,), source = revised(longer, rounds=2)
    assert kept.steps == ["y" * 30] and source.stats == {"unchanged": 0, "not_asked": 1}


def test_a_problem_that_no_split_knows_has_no_verdict() -> None:
    (found,), _ = revised(Writer("2"), known=())
    assert found.labels == [None] and found.correct is None


def test_pairs_prefer_the_revision() -> None:
    (found,), _ = revised(Writer("one\n2"))
    pairs = list(revision_pairs([CHAIN, found], RevisionPairsConfig(kind="revisions", of="x")))
    assert [(p.chosen, p.rejected) for p in pairs] == [(["one\n", "2"], ["one\n", "3"])]
    assert (pairs[0].chosen_ids, pairs[0].rejected_ids, pairs[0].prompt_ids) == ([9, 9], [1, 2, 3], [7, 8])
    assert pairs[0].shared == 0, "the same text, but other tokens"
    assert pairs[0].provenance.source == "revisions/revision"
    right = RevisionPairsConfig(kind="revisions", of="x", keep="right")
    marked = [found.model_copy(update={"correct": x}) for x in (True, False, None)]
    assert len(list(revision_pairs(marked, right))) == 1


def test_through_the_stages(start: Path, tmp_path: Path) -> None:
    """A real model criticises and revises; the file is the same in blocks of any size, and pairs come of it."""
    run(start, tmp_path / "mc", MONTE_CARLO)
    prompts = {name: text.replace("|", "") for name, text in PROMPTS.items()}
    source = {"kind": "revision", "of": "mc", "principles": ["!", "?"], "critique_tokens": 3, **prompts}
    folders = {"mc": tmp_path / "mc"}
    found = [
        run(start, tmp_path / name, source, artifacts=folders, block=block) for name, block in (("a", 99), ("b", 5))
    ]
    made = records(tmp_path / "a")
    assert made == records(tmp_path / "b") and made
    summary = found[0].summary
    assert summary["not_asked"] > 0, "some do not fit"
    assert len(made) + summary["unchanged"] <= len(records(tmp_path / "mc"))
    chains = {(r.problem, *r.steps) for r in records(tmp_path / "mc")}
    assert all((r.problem, *r.revised) in chains and r.labels[-1] in (0.0, 1.0) for r in made)
    stages = [
        {"kind": "labels", "name": "rev", "policy": "sft", "source": source},
        {"kind": "pairs", "name": "pairs", "source": {"kind": "revisions", "of": "rev"}},
    ]
    stage = built(small(stages=stages), "pairs", tmp_path / "pairs", {"rev": tmp_path / "a"})
    (tmp_path / "pairs").mkdir(exist_ok=True)
    module: Any = stage.module
    module.test_step(0, 0)
    PairsStage().export(stage, tmp_path / "pairs")
    pairs = list(read_pairs(tmp_path / "pairs" / "pairs.jsonl"))
    assert [(p.problem, p.chosen, p.rejected) for p in pairs] == [(r.problem, r.steps, r.revised) for r in made]


def test_where_no_chain_is_written_anew_the_reason_is_told(start: Path, tmp_path: Path) -> None:
    run(start, tmp_path / "mc", MONTE_CARLO)
    prompts = {name: text + "long " * 200 for name, text in PROMPTS.items()}
    source = {"kind": "revision", "of": "mc", "principles": ["!"], "critique_tokens": 3, **prompts}
    number = len(records(tmp_path / "mc"))
    with pytest.raises(DataError, match=rf"0 came back unchanged, and the prompts of {number} do not fit"):
        run(start, tmp_path / "rev", source, artifacts={"mc": tmp_path / "mc"})


def test_revisions_of_problems_that_no_split_knows_are_kept_for_pairs(start: Path, tmp_path: Path) -> None:
    run(start, tmp_path / "mc", MONTE_CARLO)
    path = tmp_path / "mc" / "labels.jsonl"
    strange = [record.model_copy(update={"problem": f"elsewhere/{i}"}) for i, record in enumerate(records(path.parent))]
    path.write_bytes(b"".join(map(record_line, strange)))
    prompts = {name: text.replace("|", "") for name, text in PROMPTS.items()}
    source = {"kind": "revision", "of": "mc", "principles": ["!", "?"], "critique_tokens": 3, **prompts}
    found = run(start, tmp_path / "rev", source, artifacts={"mc": tmp_path / "mc"})
    assert found.counts.labelled == 0 < found.counts.records == len(records(tmp_path / "rev"))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("principles: []", "stages[1].source.principles"),
        ("critique_prompt: 'What of {chain}?'", "no place for {problem}"),
        ("of: nothing", "nothing"),
    ],
)
def test_wrong_sections_are_refused(change: str, told: str, tmp_path: Path) -> None:
    text = """
o1kit: 1
name: x
model: {kind: scratch, tokenizer: {kind: char}}
tasks: {train: {num_problems: 5, sources: [{kind: reasoning_gym, generator: chain_sum}]}}
stages:
  - {kind: labels, name: mc, policy: model, source: {kind: monte_carlo}}
  - {kind: labels, name: rev, policy: model, source: SECTION}
  - {kind: pairs, name: pairs, source: {kind: revisions, of: OF}}
"""
    section = "{kind: revision, of: mc, principles: [Be kind.]}"
    key, _, value = change.partition(": ")
    wrong = {"kind": "revision", "of": "mc", "principles": "[Be kind.]", key: value}
    flow = "{" + ", ".join(f"{k}: {v}" for k, v in wrong.items()) + "}"
    path = tmp_path / "r.yaml"
    path.write_text(text.replace("SECTION", flow).replace("OF", "rev"))
    with pytest.raises(RecipeError) as caught:
        load_recipe(path)
    assert told in str(caught.value)
    path.write_text(text.replace("SECTION", section).replace("OF", "rev"))
    load_recipe(path)
    path.write_text(text.replace("SECTION", section).replace("OF", "mc"))
    with pytest.raises(RecipeError, match="these chains are no revisions"):
        load_recipe(path)
