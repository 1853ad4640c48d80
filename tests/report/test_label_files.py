"""Files of step labels: other programs' formats, round trips, and errors that name file and line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from o1kit.cli import main
from o1kit.cli.labels import Format
from o1kit.errors import DataError
from o1kit.report.label_counts import Counts, rendered
from o1kit.report.label_files import export_labels, import_labels
from o1kit.report.label_formats import READERS, Options, math_shepherd, openr, prm800k, to_trl, trl
from o1kit.report.label_schema import LabelRecord, PairRecord, Provenance
from o1kit.report.labels import read_labels
from o1kit.report.tree import json_schema

DOCS = Path(__file__).parents[2] / "docs"

SHEPHERD = {
    "input": "Ann has 3 pens and buys 2. How many? Step 1: 3 + 2 = 5. ки\nStep 2: So 5 - 1 = 4. The answer is: 4 ки",
    "label": "Ann has 3 pens and buys 2. How many? Step 1: 3 + 2 = 5. +\nStep 2: So 5 - 1 = 4. The answer is: 4 -",
    "task": "GSM8K",
}


def phase(steps: list[Any], reason: str = "found_error") -> dict[str, Any]:
    """A line of PRM800K, with the fields that its README shows."""
    question = {"problem": "2+2=?", "ground_truth_answer": "4", "pre_generated_steps": None}
    label = {"steps": steps, "total_time": 278270, "finish_reason": reason}
    return {"labeler": "x", "generation": 9, "is_quality_control_question": False, "question": question, "label": label}


def step(*rated: tuple[str, int | None], chosen: int | None = 0, human: str | None = None) -> dict[str, Any]:
    offered = [{"text": text, "rating": rating, "flagged": None} for text, rating in rated]
    written = None if human is None else {"text": human, "rating": None, "source": "human", "flagged": False}
    return {"completions": offered, "human_completion": written, "chosen_completion": chosen}


def short(records: list[LabelRecord]) -> list[tuple[list[str], list[float | None]]]:
    return [(r.steps, r.labels) for r in records]


# ---- formats -----------------------------------------------------------------------------------------------------


def test_prm800k_follows_the_labeller_and_keeps_what_else_was_offered() -> None:
    row = phase([step(("a", 1)), step(("b", 0)), step(("c", -1), ("d", 1), ("e", 0), chosen=None)])
    assert short(prm800k(row)) == [
        (["a\n", "b\n", "c\n"], [1.0, 1.0, 0.0]),
        (["a\n", "b\n", "d\n"], [None, None, 1.0]),
        (["a\n", "b\n", "e\n"], [None, None, 1.0]),
    ]
    assert [r.labels[1] for r in prm800k(row, Options(neutral="bad"))] == [0.0], "nothing after the first error"
    assert prm800k(row, Options(neutral="unknown"))[0].labels == [1.0, None, 0.0]
    assert {r.correct for r in prm800k(row)} == {None}


def test_prm800k_solutions_written_steps_and_broken_problems() -> None:
    row = phase([step(("a", -1), chosen=None, human="A"), step(("b\n\n# Answer\n\n4", 1))], "solution")
    main_, other = prm800k(row)
    assert short([main_, other]) == [(["A\n", "b\n\n# Answer\n\n4"], [1.0, 1.0]), (["a\n"], [0.0])]
    assert main_.correct is True and other.correct is None and main_.problem == other.problem
    late = prm800k(phase([step(("a", -1)), step(("b", 1), ("c", 1))]))
    assert short(late) == [(["a\n", "b\n"], [0.0, None])], "supervised up to the first error"
    assert prm800k(phase([step(("a", None))]))[0].labels == [None]
    assert prm800k(phase([step(("a", 1))], "bad_problem")) == []


def test_math_shepherd() -> None:
    (record,) = math_shepherd(SHEPHERD)
    assert record.prompt == "Ann has 3 pens and buys 2. How many?"
    assert record.steps == ["Step 1: 3 + 2 = 5.\n", "Step 2: So 5 - 1 = 4. The answer is: 4"]
    assert record.labels == [1.0, 0.0]
    marked = {key: text.replace("ки", "<m>") for key, text in SHEPHERD.items()}
    assert math_shepherd(marked, Options(mark="<m>"))[0] == record


def test_openr_in_its_three_shapes() -> None:
    tag = "\n\n\n\n\n"
    (flat,) = openr({"question": "q", "process": f"one {tag}two {tag}", "label": ["+", "-"]})
    assert (flat.prompt, flat.steps, flat.labels) == ("q", ["one\n", "two"], [1.0, 0.0])
    assert openr({"question": "q", "process": "one|two|", "label": ["+", "-"]}, Options(mark="|")) == [flat]
    tree: dict[str, Any] = {
        "text": "q",
        "mc_value": 0.5,
        "children": [
            {
                "text": "a\n\nb",
                "mc_value": 0.75,
                "children": [
                    {"text": "c", "mc_value": 1.0, "children": []},
                    {"text": "d", "mc_value": 0.0, "children": []},
                ],
            },
            {"text": "e", "mc_value": None, "children": []},
        ],
    }
    expected = [
        (["a\n", "b\n", "c\n"], [None, 0.75, 1.0]),
        (["a\n", "b\n", "d\n"], [None, None, 0.0]),
        (["e\n"], [None]),
    ]
    assert short(openr(tree)) == expected
    assert short(openr({"question": "q", "final_answer": "4", "reasoning_steps": tree})) == expected
    prefixes = [{"solution_prefix": "q\n\na\n\nb", "mc_value": 0.25}]
    assert short(openr({"question": "q", "reasoning_steps": prefixes})) == [(["a\n", "b\n"], [None, 0.25])]


def test_trl_rows_keep_soft_labels() -> None:
    (hard,) = trl({"prompt": "q", "completions": ["a", "b"], "labels": [True, False]})
    assert (hard.steps, hard.labels) == (["a\n", "b"], [1.0, 0.0])
    assert trl({"prompt": "q", "completions": ["a"], "labels": [0.25]})[0].labels == [0.25]


def record(steps: list[str], labels: list[float | None]) -> LabelRecord:
    return LabelRecord(problem="p", prompt="q", steps=steps, labels=labels, provenance=Provenance(source="x"))


def test_what_trl_cannot_say() -> None:
    soft = record(["a\n", "b"], [0.25, 1.0])
    with pytest.raises(ValueError, match=r"0\.25 is soft"):
        to_trl(soft)
    assert to_trl(soft, 0.2) == {"prompt": "q", "completions": ["a", "b"], "labels": [True, True]}
    assert to_trl(soft, 0.5) == {"prompt": "q", "completions": ["a", "b"], "labels": [False, True]}
    some = record(["a\n", "b\n", "c\n", "d"], [None, 1.0, 0.0, None])
    assert to_trl(some) == {"prompt": "q", "completions": ["a\nb", "c\n"], "labels": [True, False]}, "ends stay ends"
    assert to_trl(record(["a"], [None])) is None


# ---- files -------------------------------------------------------------------------------------------------------

texts = st.text(min_size=1, max_size=20)
chains = st.lists(st.tuples(texts, st.sampled_from([0.0, 1.0])), min_size=1, max_size=5)
ids = st.lists(st.integers(0, 2**40), max_size=4)


@settings(max_examples=15, deadline=None)
@given(rows=st.lists(st.tuples(texts, chains), min_size=1, max_size=3))
def test_trl_round_trip(rows: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("trl")
    wanted = [
        {"prompt": p, "completions": [t for t, _ in chain], "labels": [label > 0 for _, label in chain]}
        for p, chain in rows
    ]
    (folder / "a.jsonl").write_text("".join(json.dumps(row) + "\n" for row in wanted))
    read = list(import_labels(folder / "a.jsonl", "trl"))
    assert export_labels(folder / "b.jsonl", read, "trl") == len(rows)
    assert [json.loads(line) for line in (folder / "b.jsonl").open()] == wanted
    assert list(import_labels(folder / "b.jsonl", "trl")) == read


@st.composite
def own_records(draw: Any) -> LabelRecord:
    steps = draw(st.lists(st.text(min_size=1, max_size=9), min_size=1, max_size=4))
    some = st.lists(st.integers(0, 99), min_size=1, max_size=3)
    label = st.none() | st.floats(0, 1)
    return LabelRecord(
        problem=draw(texts),
        prompt=draw(st.text(max_size=9)),
        steps=steps,
        labels=[draw(label) for _ in steps],
        correct=draw(st.sampled_from([None, True, False])),
        prompt_ids=draw(ids),
        step_ids=draw(st.sampled_from([[], [draw(some) for _ in steps]])),
        tokens=draw(st.integers(0, 9)),
        provenance=Provenance(source=draw(texts), seed=draw(st.none() | st.integers(0, 2**62)), estimate="soft"),
    )


@settings(max_examples=10, deadline=None)
@given(found=st.lists(own_records(), min_size=1, max_size=3))
@pytest.mark.parametrize("suffix", [".jsonl", ".json", ".parquet"])
def test_own_round_trip(suffix: str, found: list[LabelRecord], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("own") / f"x{suffix}"
    assert export_labels(path, found, "o1kit") == len(found)
    assert list(import_labels(path, "o1kit")) == found
    if suffix == ".jsonl":
        assert list(read_labels(path)) == found


@pytest.mark.parametrize("kind", ["prm800k", "math_shepherd", "openr", "trl"])
def test_imported_files_are_o1kit_files_afterwards(kind: str, tmp_path: Path) -> None:
    rows: dict[str, Any] = {
        "prm800k": phase([step(("a", 1)), step(("b", -1), ("c", 0), chosen=None)]),
        "math_shepherd": SHEPHERD,
        "openr": {"question": "q", "process": "one|two|", "label": ["+", "-"]},
        "trl": {"prompt": "q", "completions": ["a", "b"], "labels": [True, False]},
    }
    (tmp_path / "in.jsonl").write_text(json.dumps(rows[kind]) + "\n\n" + json.dumps(rows[kind]) + "\n")
    options = ["--mark", "|"] if kind == "openr" else []
    a, b, c = (str(tmp_path / name) for name in ("a.jsonl", "b.json", "c.jsonl"))
    assert main(["labels", "convert", str(tmp_path / "in.jsonl"), a, "--from", kind, *options]) == 0
    assert main(["labels", "convert", a, b, "--from", "o1kit", "--to", "trl"]) == 0
    assert main(["labels", "convert", b, c, "--from", "trl"]) == 0
    first, again = list(read_labels(Path(a))), list(read_labels(Path(c)))
    assert len(first) == 2 * len(READERS[kind](rows[kind], Options(mark="|" if kind == "openr" else None)))
    assert {r.provenance.source for r in first} == {kind} and {r.provenance.source for r in again} == {"trl"}
    whole = [(r.prompt, "".join(r.steps), [x for x in r.labels if x is not None]) for r in first]
    assert [(r.prompt, "".join(r.steps), r.labels) for r in again] == whole


@pytest.mark.parametrize(
    ("kind", "row", "words"),
    [
        ("o1kit", {"problem": "p"}, "prompt: Field required"),
        ("o1kit", {**record(["a"], [1.0]).model_dump(), "labels": [1.0, 0.0]}, "2 labels for 1 steps"),
        ("o1kit", {**record(["a"], [1.0]).model_dump(), "labels": [1.5]}, "labels.0: Input should be less than"),
        ("prm800k", {"question": {"problem": "q"}}, "label: Field required"),
        ("prm800k", phase([step(("a", 2))]), "label.steps.0.completions.0.rating"),
        ("prm800k", phase([step(("a", 1), chosen=1)]), "step 1: completion 1 of 1 was chosen"),
        ("prm800k", phase([step(("a", 1))], "asleep"), "label.finish_reason"),
        ("math_shepherd", {"input": "no marks", "label": "no marks"}, "no mark 'ки'"),
        ("math_shepherd", SHEPHERD | {"label": "Ann has"}, "label differs from input before mark 1"),
        ("math_shepherd", SHEPHERD | {"label": SHEPHERD["label"].replace("4 -", "4 ?")}, "before mark 2"),
        ("math_shepherd", {k: v + " more" for k, v in SHEPHERD.items()}, "goes on after the last mark: 'more'"),
        ("math_shepherd", {"input": "1+1? 2 ки", "label": "1+1? 2 +"}, "no 'Step 1:'"),
        ("openr", {"question": "q", "process": "a\n\n\n\n\nb", "label": ["+"]}, "1 labels for 2 steps"),
        ("openr", {"question": "q", "process": "a", "label": ["?"]}, "label.0"),
        ("openr", {"question": "q", "reasoning_steps": [{"solution_prefix": "z", "mc_value": 1}]}, "does not begin"),
        ("trl", {"prompt": "q", "completions": ["a"], "labels": ["yes"]}, "labels.0"),
        ("trl", {"prompt": "q", "completions": ["a"], "labels": []}, "0 labels for 1 steps"),
        ("trl", {"prompt": "q", "completions": [], "labels": []}, "there are no steps"),
        ("trl", [1], "Input should be"),
        ("trl", None, ""),
    ],
)
def test_what_is_wrong_is_told_with_file_and_line(kind: str, row: Any, words: str, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_text("\n" + json.dumps(row))
    with pytest.raises(DataError) as caught:
        list(import_labels(path, kind))
    assert f"{path}:2: " in str(caught.value) and words in str(caught.value)
    assert "docs/labels.md" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.jsonl", b"{}\n{", "a.jsonl:1: problem"),
        ("b.jsonl", b"\n\n{", "b.jsonl:3: is not JSON"),
        ("c.jsonl", b"\xff\xfe", "c.jsonl:1: is not JSON"),
        ("d.json", b"[{}, 3]", "d.json: number 1: problem"),
        ("e.parquet", b"PAR2", "is not a Parquet file"),
        ("f.jsonl", b"[" * 100000, "f.jsonl:1: is not JSON"),
        ("g.jsonl", None, "cannot be read"),
        ("g.parquet", None, "cannot be read"),
    ],
)
def test_damaged_files(name: str, content: bytes | None, words: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=words):
        list(import_labels(tmp_path / name, "o1kit"))


# ---- commands ----------------------------------------------------------------------------------------------------


def test_counts_and_text() -> None:
    counts = Counts()
    counts.add(record(["a\n", "b"], [0.75, None]).model_copy(update={"tokens": 7, "correct": False}))
    counts.add(record(["a\n", "b\n", "c"], [0.0, 1.0, 0.5]))
    assert counts.summary == {
        "records": 2,
        "problems": 1,
        "steps": 5,
        "labelled": 4,
        "positive": 0.75,
        "without_label": pytest.approx(0.2),
    }
    assert "3 good (75.0%), 1 bad, 2 of them soft; 1 steps without (20.0%)" in counts.text
    assert "7 tokens generated" in counts.text
    assert rendered(record(["a\n", "b" * 200], [0.75, None])).splitlines() == [
        "p: q (unknown)",
        "  0.75  a",
        "    -   " + "b" * 99 + "…",
    ]


def test_show_and_its_options(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    export_labels(tmp_path / "labels.jsonl", [record(["a\n", "b"], [1.0, 0.0])] * 5, "o1kit")
    assert main(["labels", "show", str(tmp_path), "--first", "2"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("5 chains of 1 problems, 10 steps") and shown.count("p: q") == 2
    (tmp_path / "p.jsonl").write_text(json.dumps(phase([step(("a", 0))])))
    assert main(["labels", "show", str(tmp_path / "p.jsonl"), "--from", "prm800k", "--neutral", "bad"]) == 0
    assert "0 good (0.0%), 1 bad" in capsys.readouterr().out


@pytest.mark.parametrize(
    "wrong",
    [
        ["show", "x", "--neutral", "bad"],
        ["show", "x", "--mark", "m"],
        ["convert", "x", "y", "--from", "trl", "--threshold", "0.5"],
        ["convert", "x", "y", "--from", "o1kit", "--to", "trl", "--threshold", "2"],
    ],
)
def test_options_that_do_not_count_are_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["labels", *wrong]) == 4
    assert "--" in capsys.readouterr().err


def test_soft_labels_are_never_cast_in_silence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(tmp_path / name) for name in ("a.jsonl", "b.jsonl")]
    export_labels(Path(paths[0]), [record(["a"], [1.0]), record(["a"], [0.4])], "o1kit")
    assert main(["labels", "convert", *paths, "--from", "o1kit", "--to", "trl"]) == 4
    assert "record 2 (problem 'p'): the label 0.4 is soft" in capsys.readouterr().err
    assert not Path(paths[1]).exists(), "no half file"
    assert main(["labels", "convert", *paths, "--from", "o1kit", "--to", "trl", "--threshold", "0.4"]) == 0
    assert [json.loads(line)["labels"] for line in Path(paths[1]).read_text().splitlines()] == [[True], [True]]


@pytest.mark.parametrize(("name", "model"), [("labels", LabelRecord), ("pairs", PairRecord)])
def test_the_schemas_in_the_docs_are_those_of_the_code(name: str, model: Any) -> None:
    """Written by `o1kit schema labels > docs/labels.schema.json`, and the same for pairs."""
    assert (DOCS / f"{name}.schema.json").read_text() == json_schema(model)


def test_the_docs_name_every_field_and_format() -> None:
    text = (DOCS / "labels.md").read_text()
    fields = {*LabelRecord.model_fields, *PairRecord.model_fields, *Provenance.model_fields, *get_args(Format)}
    assert not [name for name in fields if f"`{name}`" not in text]


def test_the_commands_know_all_formats() -> None:
    assert tuple(READERS) == get_args(Format)
