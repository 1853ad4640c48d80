"""A judge against step labels: scikit-learn's figures, and examples by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, roc_auc_score

from o1kit.errors import DataError
from o1kit.functional.process_metrics import NO_ERROR
from o1kit.protocols import Artifact, StageInputs
from o1kit.report.details import reward_lines
from o1kit.report.label_schema import LabelRecord
from o1kit.report.reliability import FILE, draw_reliability
from o1kit.stages.evaluate.config import EvaluateConfig
from o1kit.stages.evaluate.judged import JudgedChain, chain_of, label_metrics, labelled, true_error
from tests.stages.planted_answers import GREEDY, PlantedJudge, evaluate
from tests.tiny import tiny


def record(**fields: Any) -> LabelRecord:
    given = {"problem": "p", "prompt": "1+1", "steps": ["1+1= ok\n", "The answer is 2"], "labels": [1.0, 0.0]}
    return LabelRecord.model_validate(given | {"provenance": {"source": "monte_carlo"}} | fields)


def test_the_place_of_the_first_error() -> None:
    assert true_error((1.0, 0.5, 0.4, 0.0)) == 2
    assert true_error((1.0, 0.9)) == NO_ERROR
    assert true_error((1.0, None, 0.0)) is None, "the first error may be the step without a label"
    assert true_error((0.0, None)) == 0


def test_metrics_are_scikit_learns() -> None:
    generator = np.random.default_rng(3)
    chains, scores, labels = [], [], []
    for i in range(60):
        p = generator.uniform(0.4, 1, size=4)
        y = [None if j == 3 and i % 3 else float(generator.uniform() < p[j]) for j in range(4)]
        chains.append(JudgedChain(f"p{i % 20}", tuple(y), tuple(p.tolist())))
        scores += [p[j] for j in range(4) if y[j] is not None]
        labels += [x for x in y if x is not None]
    found = label_metrics(chains)
    assert found["steps"] == len(labels) == 60 * 3 + 20
    assert found["auc"] == pytest.approx(roc_auc_score(labels, scores))
    whole = [(y, s) for c in chains if c.labels[3] is not None for y, s in zip(c.labels, c.scores, strict=True)]
    assert len(whole) == 4 * 20
    assert found["auc_whole_chains"] == pytest.approx(roc_auc_score(*zip(*whole, strict=True)))
    assert found["step_accuracy"] == pytest.approx(accuracy_score(labels, np.array(scores) >= 0.5))
    assert found["good_share"] == pytest.approx(np.mean(labels))
    assert sum(row["size"] for row in found["reliability"]) == len(labels)
    assert 0 < found["f1"] < 1 and 0 < found["threshold"] < 1
    assert found["problems_within"] <= 20


def test_f1_by_hand_and_a_threshold_from_other_problems() -> None:
    """A judge that knows everything but says .6 for bad steps: blind at .5, perfect at a threshold that it learns."""
    chains = [JudgedChain(f"p{i}", (1.0, 0.0 if i % 2 else 1.0), (0.9, 0.6 if i % 2 else 0.9)) for i in range(40)]
    found = label_metrics(chains)
    assert (found["f1"], found["f1_on_wrong"], found["f1_on_right"]) == (0.0, 0.0, 1.0)
    assert found["f1_tuned"] == 1.0 and found["threshold"] == pytest.approx(0.75)
    assert found["auc"] == 1.0
    only_good = label_metrics([JudgedChain("p", (1.0,), (0.9,))])
    assert "auc" not in only_good and "f1" not in only_good


def test_records_become_the_chains_that_they_were() -> None:
    _, template = tiny()
    read = chain_of(record(correct=True), template)
    assert read.token_ids == (*template.encode("1+1\n1+1= ok\nThe answer is 2"), template.eos_id)
    assert [len(a.completion.token_ids) for a in read.actions] == [len(template.encode("1+1= ok\n")), 16]
    assert read.terminal
    steps = [template.encode(step) for step in record().steps]
    kept = chain_of(record(prompt_ids=[1, 2], step_ids=steps), template)
    assert kept.token_ids == (1, 2, *steps[0], *steps[1])
    assert kept.actions[-1].completion.finish == "length", "cut within a step, nothing follows it"
    begun = chain_of(record(steps=record().steps[:1], labels=[1.0]), template)
    assert not begun.terminal, "a chain whose last step ends as inner ones do goes on"
    with pytest.raises(DataError, match="another tokenizer"):
        chain_of(record(prompt_ids=[1, 2], step_ids=[[3], [4, 5]]), template)


def test_labels_of_a_stage_and_of_other_formats_are_read(tmp_path: Path) -> None:
    stage = {"kind": "evaluate", "name": "e", "policies": ["sft"], "judge": "prm", "searches": [GREEDY]}
    (tmp_path / "labels.jsonl").write_text(record().model_dump_json())
    trl = {"prompt": "1+1", "completions": ["2", "3"], "labels": [True, False]}
    (tmp_path / "trl.jsonl").write_text(json.dumps(trl))
    for labels, expected in (
        ({"kind": "stage", "stage": "lab"}, [1.0, 0.0]),
        ({"kind": "file", "path": "trl.jsonl", "format": "trl"}, [1.0, 0.0]),
    ):
        config = EvaluateConfig.model_validate(stage | {"labels": labels})
        artifacts = {"lab": Artifact("lab", "labels", tmp_path, "x")}
        path, records = labelled(StageInputs(config, None, tmp_path, tmp_path, artifacts, 0))
        assert path.is_file() and [found.labels for found in records] == [expected]


def test_the_stage_measures_its_judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [record(problem=f"p{i}", labels=[1.0, float(i % 2)], prompt=f"Problem {i}") for i in range(30)]
    (tmp_path / "labels.jsonl").write_text("\n".join(row.model_dump_json() for row in rows))
    labels = {"kind": "file", "path": "labels.jsonl", "format": "o1kit"}
    found = evaluate(tmp_path, monkeypatch, labels=labels, searches=[GREEDY])
    reward = found.results.reward
    assert (reward["chains"], reward["steps"], reward["judge"]) == (30, 60, "prm")
    assert reward["labels"]["sources"] == ["monte_carlo"]
    picture = (found.folder / FILE).read_text()
    assert picture.startswith("<?xml") and "reliability" in picture
    (tmp_path / "labels.jsonl").write_text(record(labels=[None, None]).model_dump_json())
    with pytest.raises(DataError, match="no step has a label"):
        evaluate(tmp_path, monkeypatch, labels=labels, searches=[GREEDY])


def test_chains_of_problems_that_the_judge_was_trained_on_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted recipe's reward model is trained on labels of the first ten training problems."""
    labels = {"kind": "file", "path": "labels.jsonl", "format": "o1kit"}
    prompts = [f"Problem {i} of lot 200: how many?" for i in (0, 9, 10)]
    rows = [record(prompt=prompt, problem=prompt) for prompt in prompts]
    (tmp_path / "labels.jsonl").write_text("\n".join(row.model_dump_json() for row in rows))
    found = evaluate(tmp_path, monkeypatch, labels=labels, searches=[GREEDY])
    assert (found.results.reward["chains"], found.results.reward["labels"]["left_out"]) == (1, 2)
    assert reward_lines(found.results.reward)[0].endswith("; 2 chains of problems that it was trained on left out")
    (tmp_path / "labels.jsonl").write_text(rows[0].model_dump_json())
    with pytest.raises(DataError, match="trained on labels of all these problems"):
        evaluate(tmp_path, monkeypatch, labels=labels, searches=[GREEDY])


def test_figures_of_a_judge_that_knows_the_answers_say_oracle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = {"kind": "file", "path": "labels.jsonl", "format": "o1kit"}
    found = {}
    for oracle in (True, False):
        folder = tmp_path / str(oracle)
        folder.mkdir()
        (folder / "labels.jsonl").write_text(record().model_dump_json())
        found[oracle] = evaluate(folder, monkeypatch, PlantedJudge(oracle), labels=labels, searches=[GREEDY])
    told = {oracle: (one.results.reward["judge"], one.results.reward["oracle"]) for oracle, one in found.items()}
    assert told == {True: ("prm oracle", True), False: ("prm", False)}
    assert reward_lines(found[True].results.reward)[0].startswith("judge prm oracle on 2 labelled steps")


def test_without_matplotlib_there_is_no_plot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = {"low": 0.0, "high": 0.1, "size": 3, "predicted": 0.05, "observed": 0.0}
    assert draw_reliability([], tmp_path) is None
    first = draw_reliability([row], tmp_path / "a")
    second = draw_reliability([row], tmp_path / "b")
    assert first is not None and second is not None and first.read_bytes() == second.read_bytes()
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    assert draw_reliability([row], tmp_path / "c") is None
