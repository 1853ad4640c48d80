"""Chains from text: tokens of the joined text, labels where steps end, and the labels of TRL's stepwise trainer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from o1kit.engines.policy import PromptTemplate
from o1kit.engines.spelling import spell_record, spell_steps, split_steps
from o1kit.errors import DataError
from o1kit.models.tokenizer import build_char_tokenizer
from o1kit.report.label_files import import_labels
from o1kit.report.label_schema import LabelRecord, Provenance
from o1kit.stages.prm.config import PrmConfig
from o1kit.stages.prm.data import collate
from o1kit.stages.prm.examples import Builder
from tests.engines.trl_rows import PHRASES, ROWS, SEPARATORS
from tests.tiny import tiny

FROM = Provenance(source="test")


def byte_pairs() -> PromptTemplate:
    """A tokenizer that merges two line ends into one token, as those of Llama 3 and Qwen do."""
    vocabulary = {text: i for i, text in enumerate(["<eos>", "a", "b", "\n", "\n\n", "ab"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("\n", "\n"), ("a", "b")]))
    tokenizer.decoder = decoders.Fuse()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>")  # type: ignore[no-untyped-call]
    return PromptTemplate(fast)


@pytest.mark.parametrize(
    ("steps", "pieces", "forced"),
    [
        (["a\n", "b\n"], [["a", "\n"], ["b", "\n"]], 0),
        (["a\n\n", "b"], [["a", "\n\n"], ["b"]], 0),
        # Joined, one token would hold the end of the first step and the beginning of the second.
        (["a\n", "\nb\n", "a"], [["a", "\n"], ["\n", "b", "\n"], ["a"]], 1),
        (["a", "b", "\n", "\n"], [["a"], ["b"], ["\n"], ["\n"]], 2),
        # A boundary that is forced gives the rest another beginning: four line ends are two tokens, three are not.
        (["\n", "\n\n\n", "a"], [["\n"], ["\n\n", "\n"], ["a"]], 1),
    ],
)
def test_a_step_ends_with_a_token_of_its_own(steps: list[str], pieces: list[list[str]], forced: int) -> None:
    template = byte_pairs()
    found, count = spell_steps(template, steps)
    assert [[template.decode([i]) for i in ids] for ids in found] == pieces
    assert count == forced
    if not forced:
        assert [i for ids in found for i in ids] == template.encode("".join(steps))


def test_text_and_its_own_tokens_are_the_same_chain() -> None:
    _, template = tiny()
    steps = ["1+1=2 ok\n", "wait\n", "So the answer is 2"]
    text = LabelRecord(problem="p", prompt="1+1?", steps=steps, labels=[1, 1, 1], correct=True, provenance=FROM)
    chain = [*template.encode("".join(steps)), template.eos_id]
    ids = split_steps(template, chain)
    sampled = text.model_copy(update={"prompt_ids": template.encode("1+1?\n"), "step_ids": [list(x) for x in ids]})
    assert spell_record(template, text) == spell_record(template, sampled)
    unfinished = text.model_copy(update={"steps": steps[:2], "labels": [1, 1], "correct": None})
    assert spell_record(template, unfinished).chain_ids == template.encode("".join(steps[:2]))
    wrong = sampled.model_copy(update={"step_ids": [[i + 1 for i in x] for x in ids]})
    with pytest.raises(DataError, match=r"problem 'p': its recorded tokens say .* another tokenizer's"):
        spell_record(template, wrong)


THEIRS = json.loads((Path(__file__).parent / "trl_rows.json").read_text())["rows"]
"""Tokens and labels of `trl_rows.ROWS` by separator, from TRL's own trainer (see there)."""


@pytest.mark.parametrize("separator", SEPARATORS)
def test_labels_are_those_of_trls_stepwise_trainer_token_by_token(separator: str, tmp_path: Path) -> None:
    """A line end is the end of the step itself here; any other separator is the mark. What differs is the end of a
    finished chain: it has the end-of-text token here, which the policy wrote, and TRL leaves it out."""
    tokenizer = build_char_tokenizer(list(PHRASES))
    template = PromptTemplate(tokenizer)
    path = tmp_path / "trl.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in ROWS))
    found = list(import_labels(path, "trl"))
    mark = None if separator == "\n" else tokenizer.encode(separator, add_special_tokens=False)[0]
    end = separator if mark is None else ""
    found = [r.model_copy(update={"steps": [s.removesuffix("\n") + end for s in r.steps]}) for r in found]
    config = PrmConfig(
        kind="prm",
        name="prm",
        policy="sft",
        labels={"kind": "file", "path": "x", "format": "trl"},  # type: ignore
    )
    examples = Builder(config, template, mark, 64, 0).from_labels(found)
    batch = collate(examples)
    for b, (made, record) in enumerate(zip(THEIRS[separator], found, strict=True)):
        start, skipped = len(template.encode(f"{record.prompt}\n")), len(template.encode(record.prompt))
        tokens, labels = made["input_ids"][skipped:], made["labels"][skipped:]
        assert set(made["labels"][:skipped]) == {-100}
        if mark is not None:  # the last step does not end as inner ones do: the chain is finished
            tokens.insert(-1, template.eos_id)
            labels.insert(-1, -100)
        ours = [int(y) if m else -100 for y, m in zip(batch.labels_BT[b], batch.mask_BT[b], strict=True)]
        assert batch.token_ids_BT[b, start : start + len(tokens)].tolist() == tokens
        assert ours[start : start + len(tokens)] == labels
        assert set(ours[:start] + ours[start + len(tokens) :]) <= {-100}
