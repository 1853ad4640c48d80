"""Label stages: every option, runs that go on where they stopped, and sources that read another stage."""

from __future__ import annotations

import asyncio
import json
import math
import random
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning as L
import pytest

from o1kit.decoding import Decoding
from o1kit.functional.keys import derive
from o1kit.models.load import save_directory
from o1kit.plan import compile_recipe
from o1kit.protocols import Span, StageInputs
from o1kit.report.label_schema import LabelRecord, Provenance
from o1kit.report.labels import read_labels, read_pairs, write_records
from o1kit.rewards.verifier import Verifier
from o1kit.runner import run_plan
from o1kit.search.journal import Journal
from o1kit.stages.labels.config import JudgeLabelsConfig, MonteCarloLabelsConfig, OmegaLabelsConfig
from o1kit.stages.labels.desk import Desk
from o1kit.stages.labels.judge import Judge
from o1kit.stages.labels.module import LabelsModule
from o1kit.stages.labels.stage import LabelsStage
from o1kit.stages.labels.write import write_labels
from o1kit.stages.own import policy_fingerprint
from o1kit.types import Action, Completion, Problem, Score, State
from tests.small import RECIPE, built, small
from tests.stages.test_labels import MONTE_CARLO, OMEGA, ROWS, Planted
from tests.tiny import problem, tiny

# ---- the stage ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of two policies, a file of problems, and a file of labels."""
    folder = tmp_path_factory.mktemp("start")
    for name, seed in (("sft", 0), ("other", 3)):
        model, template = tiny(seed=seed, context=48)
        save_directory(model, template.tokenizer, folder / name)
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    return folder


@pytest.fixture(autouse=True)
def _sometimes_right(monkeypatch: pytest.MonkeyPatch) -> None:
    """One chain in three ends in the right answer, whatever the model writes."""

    async def score(self: Any, state: State) -> Score:
        return await Parity().score(state)

    monkeypatch.setattr(Verifier, "score", score)


def run(start: Path, folder: Path, source: dict[str, Any], **more: Any) -> LabelsModule:
    """Runs a labels stage, whose file lies in `folder` then."""
    block, max_batch = more.pop("block", 1024), more.pop("max_batch", 256)
    folders = {name: start / name for name in ("sft", "other")} | more.pop("artifacts", {})
    seed, top = more.pop("seed", 0), {"model": more.pop("model")} if "model" in more else {}
    policy = {} if source["kind"] in ("consensus", "file") else {"policy": "sft"}
    stage = {"kind": "labels", "name": "labels", "source": source} | policy | more
    rows = {"kind": "jsonl", "path": str(start / "rows.jsonl")}
    splits = {name: {"num_problems": 5, "sources": [rows]} for name in ("train", "heldout")}
    recipe = small(stages=[stage], tasks=splits, seed=seed, engine={"max_batch": max_batch}, **top)
    made = built(recipe, "labels", folder, folders)
    module: Any = made.module
    module.block = block
    made.data.blocks = module.blocks  # type: ignore[attr-defined]
    options: Any = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    L.Trainer(accelerator="cpu", **options).test(module, datamodule=made.data, verbose=False)
    LabelsStage().export(made, folder)
    assert isinstance(module, LabelsModule)
    return module


def records(folder: Path) -> list[LabelRecord]:
    return list(read_labels(folder / "labels.jsonl"))


def without_prints(found: Sequence[LabelRecord]) -> list[LabelRecord]:
    return [r.model_copy(update={"provenance": None}) for r in found]


@pytest.fixture(scope="module", params=["monte_carlo", "omega"])
def base(request: pytest.FixtureRequest, start: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        _sometimes_right.__wrapped__(patch)  # type: ignore[attr-defined]
        folder = tmp_path_factory.mktemp("base")
        source = {"monte_carlo": MONTE_CARLO, "omega": OMEGA}[request.param]
        return source, run(start, folder, source), records(folder), folder


def test_every_token_counts_in_one_record(base: Any) -> None:
    source, module, found, _ = base
    assert len({r.problem for r in found}) > 1
    if source["kind"] == "monte_carlo":
        assert sum(r.tokens for r in found) == module.usage.generated
    else:
        assert 0 < sum(r.tokens for r in found) <= module.usage.generated
        assert module.summary["searches"] > 0 and module.summary["probes"] > 0
    assert module.summary["labelled"] == sum(x is not None for r in found for x in r.labels)
    assert module.summary["tokens_per_label"] == module.usage.generated / module.summary["labelled"]


def test_provenance_is_filled(base: Any) -> None:
    source, module, found, _ = base
    expected = Provenance(
        source=source["kind"], policy="x", completions=2, temperature=1.0, estimate="soft", seed=module.inputs.seed
    )
    assert {r.provenance.model_dump_json() for r in found} == {expected.model_dump_json()}


def test_provenance_tells_one_model_of_the_recipe_from_another(start: Path, tmp_path: Path) -> None:
    """It names weights, not folders; those of a model made here follow from its section and the stage's seed."""
    shutil.copytree(start / "sft", tmp_path / "copy")
    found = []
    for i, folder in enumerate((start / "sft", tmp_path / "copy", start / "other")):
        model = {"kind": "hf", "source": str(folder)}
        run(start, tmp_path / str(i), MONTE_CARLO | {"num_problems": 1}, policy="model", model=model)
        found.append(records(tmp_path / str(i))[0].provenance.policy)
    assert found[0] == found[1] != found[2] and all(re.fullmatch("[0-9a-f]{64}", x) for x in found)
    inputs = StageInputs(None, small(), Path(), tmp_path, {}, 0)
    assert policy_fingerprint(inputs, "model", 1) == policy_fingerprint(inputs, "model", 1)
    wider = replace(inputs, recipe=small(model=RECIPE["model"] | {"hidden_size": 64}))
    assert len({policy_fingerprint(*x) for x in ((inputs, "model", 1), (inputs, "model", 2), (wider, "model", 1))}) == 3
    assert policy_fingerprint(inputs, None, 1) == ""


def test_no_prefix_is_labelled_twice_but_by_equal_chains(base: Any) -> None:
    source, _, found, _ = base
    names = [
        (r.problem, str(r.step_ids[: k + 1]))
        for r in found
        for k, label in enumerate(r.labels[:-1])
        if label is not None
    ]
    assert source["kind"] == "monte_carlo" or len(names) == len(set(names))


def test_labels_do_not_depend_on_what_is_computed_together(base: Any, start: Path, tmp_path: Path) -> None:
    source, _, found, _ = base
    run(start, tmp_path, source, block=1, max_batch=1)
    again = records(tmp_path)
    assert [r.model_copy(update={"step_logprobs": []}) for r in again] == [
        r.model_copy(update={"step_logprobs": []}) for r in found
    ]
    told, before = ([x for r in rs for step in r.step_logprobs for x in step] for rs in (again, found))
    assert told == pytest.approx(before, abs=2e-4), "to the last of four digits"


class Parity:
    """A verifier that likes one chain in three."""

    async def score(self, state: State) -> Score:
        return Score(float(sum(state.token_ids) % 3 == 0), "parity", oracle=True)


class Noisy(Planted):
    """Chains of 4 to 12 steps of one to three tokens; each step is a mistake with one chance in eight, or one in 60."""

    def __init__(self) -> None:
        super().__init__(0, 0)

    async def complete(
        self, state: State, n: int, *, key: int, decoding: Decoding = Decoding(), first: int = 0
    ) -> list[State]:
        return [self._drawn(state, random.Random(derive(key, i)), decoding) for i in range(first, first + n)]

    def _drawn(self, state: State, draw: random.Random, decoding: Decoding) -> State:
        while not state.terminal:
            wrong = draw.random() < (1 / 8 if decoding.temperature == 1 else 1 / 60)
            tokens = tuple(draw.randrange(9) for _ in range(draw.randint(1, 3)))
            end = len(state.actions) >= draw.randint(3, 11)
            text = f"{'x' if wrong else 's'}{tokens}\n"
            state = state.after(Action(text, Completion(tokens, (0.0,) * len(tokens), "answer" if end else "step")))
        return state


def sampled(section: dict[str, Any], seed: int = 5, **more: Any) -> list[LabelRecord]:
    """Records of a section over noisy chains."""
    source: Any = (MonteCarloLabelsConfig if section["kind"] == "monte_carlo" else OmegaLabelsConfig)(**section | more)
    problems = [problem(row["question"], f"p{i}") for i, row in enumerate(ROWS)]
    policy: Any = Noisy()
    found = write_labels(source, Desk(policy, policy, problems, seed))
    return [r.model_copy(update={"provenance": None}) for r in found]


@pytest.mark.parametrize(
    ("kind", "option", "value"),
    [
        ("monte_carlo", "seed", 7),
        ("monte_carlo", "num_problems", 4),
        ("monte_carlo", "chains", 3),
        ("monte_carlo", "completions", 3),
        ("monte_carlo", "completions", 0),
        ("monte_carlo", "estimate", "hard"),
        ("monte_carlo", "temperature", 0.5),
        ("omega", "seed", 7),
        ("omega", "num_problems", 3),
        ("omega", "rollouts", 6),
        ("omega", "keep", "all"),
        ("omega", "search", "all"),
        ("omega", "completions", 3),
        ("omega", "num_iterations", 1),
        ("omega", "token_budget", 1),
        ("omega", "alpha", 1.0),
        ("omega", "beta", 0.01),
        ("omega", "length", 0.1),
        ("omega", "c_puct", 0.0),
        ("omega", "labels", "implied"),
        ("omega", "labels", "passing"),
        ("omega", "draw", "until_right"),
        ("omega", "estimate", "hard"),
        ("omega", "temperature", 0.5),
    ],
)
def test_every_option_of_sampling_counts(kind: str, option: str, value: Any) -> None:
    usual: dict[str, Any] = dict(MONTE_CARLO if kind == "monte_carlo" else OMEGA)
    if option in ("alpha", "beta", "length", "c_puct"):
        usual |= {"num_problems": 10, "rollouts": 6, "completions": 4, "num_iterations": 5}
    usual |= {"estimate": "hard"} if value in ("implied", "until_right") else {}
    usual |= {"keep": "all"} if option == "search" else {}
    assert sampled(usual, **{option: value}) != sampled(usual)


@pytest.mark.parametrize("change", [{"policy": "other"}, {"policy": "model"}, {"split": "heldout"}], ids=str)
def test_every_option_of_the_stage_counts(change: dict[str, Any], start: Path, tmp_path: Path) -> None:
    source = MONTE_CARLO | {"num_problems": 1}
    run(start, tmp_path / "a", source)
    run(start, tmp_path / "b", source, **change)
    assert without_prints(records(tmp_path / "a")) != without_prints(records(tmp_path / "b"))


def test_a_problem_keeps_its_labels_when_fewer_are_labelled() -> None:
    for usual in (MONTE_CARLO, OMEGA):
        some = sampled(usual | {"num_problems": 1})
        assert some and sampled(usual)[: len(some)] == some


def test_a_stage_that_is_stopped_goes_on_where_it_was(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = OMEGA
    whole = run(start, tmp_path / "whole", source)
    found = records(tmp_path / "whole")
    put, count = Journal.put, 0
    expected = whole.journals.recorded

    def stop(self: Journal, *arguments: Any, **reply: Any) -> None:
        nonlocal count
        count += 1
        if count > expected * 2 // 3:
            raise InterruptedError
        put(self, *arguments, **reply)

    monkeypatch.setattr(Journal, "put", stop)
    with pytest.raises(InterruptedError):
        run(start, tmp_path / "again", source, block=2)
    monkeypatch.setattr(Journal, "put", put)
    again = run(start, tmp_path / "again", source, block=2)
    assert records(tmp_path / "again") == found
    assert again.journals.reused == expected * 2 // 3
    assert again.journals.recorded == expected - again.journals.reused, "nothing computed was lost"
    cached = {"tokens_prompt": 0, "tokens_cached": 0}
    assert again.summary | cached == whole.summary | cached


class Opinion:
    """A policy that is asked; it says Yes with a probability that its prompt's length gives, or neither word."""

    def __init__(self, words: tuple[str, str] = ("Yes", " no")) -> None:
        self.words, self.prompts = words, list[str]()

    def start(self, problem: Problem) -> State:
        self.prompts.append(problem.prompt)
        return State(problem, (0,))

    async def propose(self, state: State, n: int, *, decoding: Decoding, span: Span, **_: Any) -> list[Action]:
        assert n == 1 and span.max_tokens == 1 and decoding.greedy
        share = len(state.problem.prompt) % 10 / 10 + 0.05
        likely = ((0, math.log(0.5)), (1, math.log(share / 2)), (2, math.log((1 - share) / 2)))
        return [Action("", Completion((0,), (0.0,), "step", alternatives=(likely[: decoding.alternatives],)))]

    def text(self, token_ids: Sequence[int]) -> str:
        return ("?", *self.words)[token_ids[0]]


def judged(record: LabelRecord, opinion: Any, **options: Any) -> LabelRecord:
    source = Judge(JudgeLabelsConfig(kind="judge", of="mc", **options), Desk(opinion, Parity(), (), 5, "asked"))
    (found,) = asyncio.run(source.label(0, record))
    return found


def test_a_judge_is_asked_about_every_step() -> None:
    provenance = Provenance(source="monte_carlo", policy="writer", completions=4, temperature=1.0)
    record = LabelRecord(
        problem="p",
        prompt="1+1=?",
        steps=["one\n", "two\n", "four"],
        labels=[0.5, None, 0.0],
        correct=False,
        tokens=9,
        provenance=provenance,
    )
    opinion = Opinion()
    soft = judged(record, opinion, prompt="{problem}|{before}|{step}")
    assert opinion.prompts == ["1+1=?|(nothing yet)|one", "1+1=?|one|two", "1+1=?|one\ntwo|four"]
    shares = [len(prompt) % 10 / 10 + 0.05 for prompt in opinion.prompts]
    assert soft.labels == pytest.approx(shares) and soft.tokens == 3
    assert soft.steps == record.steps and soft.correct is False
    assert soft.provenance == Provenance(
        source="judge", policy="writer", temperature=1.0, estimate="soft", judge="asked", seed=5
    )
    hard = judged(record, Opinion(), prompt="{problem}|{before}|{step}", estimate="hard")
    assert hard.labels == [float(share >= 0.5) for share in shares]
    assert judged(record, Opinion()).labels != soft.labels, "the prompt counts"
    few = judged(record, Opinion(), alternatives=2)
    assert few.labels == [1.0, 1.0, 1.0], "No is not among the two likeliest"
    assert judged(record, Opinion(("Maybe", "Perhaps"))).labels == [None] * 3


def test_a_judge_reads_the_chains_of_another_stage(start: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mc"
    run(start, folder, MONTE_CARLO)
    chains = records(folder)
    source = {"kind": "judge", "of": "mc", "prompt": "{problem}{before}{step}Y", "alternatives": 40}
    found = [run(start, tmp_path / n, source, artifacts={"mc": folder}, block=b) for n, b in (("a", 999), ("b", 7))]
    labels = [records(tmp_path / name) for name in "ab"]
    assert labels[0] == labels[1]
    assert [r.step_ids for r in labels[0]] == [r.step_ids for r in chains]
    spent = found[0].summary["tokens_generated"]
    assert spent == sum(r.tokens for r in labels[0]) <= sum(len(r.steps) for r in chains), "some prompts do not fit"
    assert found[0].summary["labelled"] > 0


def test_consensus_of_two_stages(start: Path, tmp_path: Path) -> None:
    provenance = Provenance(source="monte_carlo", policy="p", completions=4)
    one = [
        LabelRecord(problem=p, prompt="q", steps=["a\n", "b"], labels=x, tokens=3, provenance=provenance)
        for p, x in (("p", [0.9, 0.2]), ("q", [0.7, 0.7]), ("q", [0.1, 0.9]), ("r", [1.0, 1.0]))
    ]
    changes: list[Any] = [[1.0, 0.0], [1.0, 1.0], [0.0, 0.6]]
    two = [r.model_copy(update={"labels": x, "tokens": 1}) for r, x in zip(one, changes, strict=False)]
    for name, rows in (("one", one), ("two", two)):
        write_records(tmp_path / name / "labels.jsonl", rows)
    folders = {name: tmp_path / name for name in ("one", "two")}
    source = {"kind": "consensus", "of": ["one", "two"]}
    run(start, tmp_path / "both", source, artifacts=folders)
    found = records(tmp_path / "both")
    assert [r.labels for r in found] == [[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], "chains that only one has are left out"
    assert {r.tokens for r in found} == {4}
    assert found[0].provenance == Provenance(source="consensus", policy="p", completions=4, estimate="hard")
    run(start, tmp_path / "strict", source | {"threshold": 0.65}, artifacts=folders)
    assert [r.labels for r in records(tmp_path / "strict")][2] == [0.0, None]


@pytest.mark.slow
def test_another_file_of_labels_is_noticed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """By the stage that reads it, and by the one that is built on that; through whole runs."""
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    made = {"kind": "labels", "name": "read", "source": {"kind": "file", "path": "x.jsonl", "format": "trl"}}
    pairs = {"kind": "pairs", "name": "pairs", "source": {"kind": "steps", "of": "read"}}
    tasks = {"train": {"num_problems": 4, "sources": [{"kind": "jsonl", "path": "rows.jsonl"}]}}
    plan = compile_recipe(small(stages=[made, pairs], tasks=tasks))

    def go(*labels: bool) -> str:
        rows = [{"prompt": "q", "completions": [f"{i}", "b"], "labels": [x, x]} for i, x in enumerate(labels)]
        (tmp_path / "x.jsonl").write_text("\n".join(map(json.dumps, rows)))
        run_plan(plan, recipe_directory=tmp_path, runs_dir=tmp_path / "runs", plain=True)
        return capsys.readouterr().out

    assert "read: done" in go(True, False)
    folder = tmp_path / "runs" / "small" / "pairs" / "pairs.jsonl"
    (pair,) = read_pairs(folder)
    assert (pair.chosen, pair.rejected) == (["0\n"], ["1\n"])
    again = go(True, False)
    assert "read: already done, skipped" in again and "pairs: already done, skipped" in again
    other = go(False, True)
    assert "read: changed or damaged" in other and "pairs: changed or damaged" in other
    (pair,) = read_pairs(folder)
    assert (pair.chosen, pair.rejected) == (["1\n"], ["0\n"])
