"""Reward models of every kind learn a planted rule, and what is trained is what is read."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from random import Random
from typing import Any

import lightning as L
import pytest
import torch

from o1kit import registry
from o1kit.engines.policy import PromptTemplate
from o1kit.engines.torch import TorchEngine
from o1kit.errors import DataError
from o1kit.functional.dpo import sigmoid_loss
from o1kit.functional.pairwise_prompt import comparison_prompt
from o1kit.models.config import ScratchModelConfig
from o1kit.models.language_model import LanguageModel
from o1kit.models.load import build_scratch, load_directory, save_directory
from o1kit.models.reading import marked, read_reading, reading_ids
from o1kit.models.tokenizer import build_char_tokenizer
from o1kit.protocols import BuiltStage
from o1kit.report.label_schema import LabelRecord, PairRecord, Provenance
from o1kit.report.labels import write_records
from o1kit.stages.prm.data import collate
from tests.small import RECIPE, built, small

pytestmark = pytest.mark.slow

FROM = Provenance(source="test")
QUESTION = comparison_prompt("|", "|", "|").split("|")
TOKENS = {"by": "tokens", "good": "+", "bad": "-"}
MARKED = TOKENS | {"mark": "#"}
RANKED = {"kind": "prm", "ranking": 1.0}
FOUND: dict[str, list[torch.Tensor]] = {}
"""Weights that options are compared with, by what they were trained with."""
PRM: dict[str, Any] = {
    "kind": "prm",
    "name": "prm",
    "policy": "sft",
    "steps": 30,
    "batch_size": 24,
    "optimizer": {"lr": 1e-2, "muon_lr": 0.05, "warmup_steps": 3},
}


def model_of(seed: int = 0) -> tuple[LanguageModel, PromptTemplate]:
    """A model that has a few tokens for the whole question of a comparison."""
    tokenizer = build_char_tokenizer([" ok\n", *QUESTION, *(text[1:] for text in QUESTION)])
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_layers": 1, "num_heads": 4, "num_kv_heads": 2}
    config = ScratchModelConfig(kind="scratch", context_length=96, **shape)  # type: ignore[arg-type]
    return build_scratch(config, tokenizer, seed), PromptTemplate(tokenizer)


def records(problems: int = 40, chains: int = 4, seed: int = 0) -> list[LabelRecord]:
    """Chains of three steps; from the first `z` on they are wrong, and half of the chains have one."""
    rng = Random(seed)
    found = []
    for p in range(problems):
        prompt = "".join(rng.choices("efgh", k=2)) + "?"
        for c in range(chains):
            error = rng.randrange(3) if c % 2 else 3
            letters = ["".join(rng.choices("abcd", k=3)) for _ in range(3)]
            steps = [f"{x[:-1]}{'z' if n == error else x[-1]} ok\n" for n, x in enumerate(letters)]
            labels: list[float | None] = [float(n < error) for n in range(3)]
            found.append(
                LabelRecord(
                    problem=f"p{p}", prompt=prompt, steps=steps, labels=labels, correct=error == 3, provenance=FROM
                )
            )
    return found


def paired(rows: list[LabelRecord]) -> list[PairRecord]:
    pairs = zip(rows[::2], rows[1::2], strict=True)
    return [
        PairRecord(problem=a.problem, prompt=a.prompt, chosen=a.steps, rejected=b.steps, provenance=FROM)
        for a, b in pairs
    ]


def staged(folder: Path, rows: Any, seed: int = 0, **changes: Any) -> BuiltStage:
    model, template = model_of(seed)
    save_directory(model, template.tokenizer, folder / "sft")
    write_records(folder / "labels.jsonl", rows)
    kind = {"kind": "pairs"} if isinstance(rows[0], PairRecord) else {"kind": "file", "format": "o1kit"}
    section = PRM | {"labels": kind | {"path": str(folder / "labels.jsonl")}} | changes
    recipe = small(stages=[RECIPE["stages"][0], section])
    return built(recipe, "prm", folder / "prm", {"sft": folder / "sft"})


def trained(stage: BuiltStage, folder: Path) -> dict[str, Any]:
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = L.Trainer(accelerator="cpu", **quiet, **stage.trainer)  # type: ignore[arg-type]
    trainer.fit(stage.module, datamodule=stage.data)
    return dict(registry.lookup("stages", "prm")().export(stage, folder / "prm"))


@pytest.mark.parametrize(
    ("objective", "reading"),
    [
        ({"kind": "prm"}, {}),
        pytest.param({"kind": "prm"}, {"mark": "#"}, marks=pytest.mark.slow),
        pytest.param({"kind": "prm"}, TOKENS, marks=pytest.mark.slow),
        ({"kind": "prm"}, MARKED),
        (RANKED, {}),
        pytest.param({"kind": "orm"}, {}, marks=pytest.mark.slow),
        ({"kind": "orm"}, TOKENS),
        ({"kind": "pairwise"}, {}),
    ],
    ids=str,
)
def test_each_objective_learns_a_planted_rule(objective: Any, reading: Any, tmp_path: Path) -> None:
    summary = trained(staged(tmp_path, records(), objective=objective, reading=reading), tmp_path)
    assert summary["prm/within_auc"] > 0.95
    if objective["kind"] != "pairwise":
        assert summary["prm/auc"] > 0.95
    if objective["kind"] == "prm":
        assert summary["prm/processbench_f1"] > 0.8
        assert summary["labels/labelled"] == 40 * 4 * 3


def test_pairs_train_a_head_by_their_order_alone(tmp_path: Path) -> None:
    stage = staged(tmp_path, paired(records()), objective={"kind": "pairwise"}, steps=40)
    assert trained(stage, tmp_path)["prm/within_auc"] > 0.95
    assert all(e.group == o.group for e, o in zip(*[iter(stage.data.train_examples)] * 2, strict=True))  # type: ignore


def test_comparisons_are_asked_in_both_orders_and_learned(tmp_path: Path) -> None:
    stage = staged(
        tmp_path, paired(records(80)), objective={"kind": "pairwise"}, reading=TOKENS, steps=60, batch_size=32
    )
    summary = trained(stage, tmp_path)
    assert summary["prm/symmetric_acc"] > 0.95
    template = stage.data.builder.template  # type: ignore[attr-defined]
    first, second, *_ = stage.data.train_examples  # type: ignore[attr-defined]
    assert (first.labels, second.labels) == ((1.0,), (0.0,))
    one = paired(records(80))[2]
    texts = ("".join(one.chosen), "".join(one.rejected))
    assert template.decode(first.token_ids) == comparison_prompt(one.prompt, *texts) + "\n"
    assert template.decode(second.token_ids) == comparison_prompt(one.prompt, *texts[::-1]) + "\n"
    assert read_reading(tmp_path / "prm").kind == "pairwise"


DPO = {"kind": "pairwise", "loss": "dpo", "beta": 0.3}


def test_comparisons_are_trained_by_dpo_relative_to_the_model_as_it_was(tmp_path: Path) -> None:
    """The loss is DPO's of the two answers Yes and No, whose log-probabilities are taken from both models."""
    stage = staged(tmp_path, paired(records(8)), objective=DPO, reading=TOKENS, steps=2, batch_size=6)
    stage.data.setup("fit")
    module: Any = stage.module
    module.log = module.log_dict = lambda *_: None
    examples = stage.data.train_examples[:6]  # type: ignore[attr-defined]
    batch, before = collate(examples), load_directory(tmp_path / "sft")[0]
    assert module.training_step(batch, 0).item() == pytest.approx(math.log(2), abs=1e-5), "nothing has moved yet"
    torch.nn.init.normal_(module.model.lm.get_input_embeddings().weight, generator=torch.Generator().manual_seed(1))
    good, bad = module.model.label_ids
    chosen, rejected = [], []
    for example in examples:
        token_ids = torch.tensor([example.token_ids])
        now, then = (
            m.logits(m.hidden(token_ids, use_cache=False)[0, -1]).log_softmax(-1) for m in (module.model, before)
        )
        better, other = (good, bad) if example.labels == (1.0,) else (bad, good)
        chosen.append(now[better] - then[better])
        rejected.append(now[other] - then[other])
    expected = sigmoid_loss(torch.stack(chosen) - torch.stack(rejected), 0.3)
    torch.testing.assert_close(module.training_step(batch, 0), expected, atol=1e-4, rtol=1e-4)


def test_comparisons_are_learned_by_dpo_too(tmp_path: Path) -> None:
    options: dict[str, Any] = {"objective": DPO, "reading": TOKENS, "steps": 60, "batch_size": 32}
    summary = trained(staged(tmp_path, paired(records(80)), **options), tmp_path)
    assert summary["prm/symmetric_acc"] > 0.95
    assert read_reading(tmp_path / "prm").kind == "pairwise"


@pytest.mark.parametrize("reading", [{}, {"mark": "#"}, TOKENS, MARKED], ids=str)
def test_the_logit_that_is_trained_is_the_one_that_an_engine_reads(reading: Any, tmp_path: Path) -> None:
    """Systems whose labels are shifted by one token train the logit before the one they read."""
    stage = staged(tmp_path, records(8), reading=reading, steps=4)
    trained(stage, tmp_path)
    model, tokenizer = load_directory(tmp_path / "prm")
    template = PromptTemplate(tokenizer)
    mark = reading_ids(read_reading(tmp_path / "prm"), tokenizer).mark
    module: Any = stage.module
    for record in records(2):
        steps = [template.encode(step) for step in record.steps]
        steps[-1].append(template.eos_id)
        tokens, positions = marked(template.encode(f"{record.prompt}\n"), steps, mark)
        engine = TorchEngine(model.eval(), template.eos_id, decode=template.decode)
        read = asyncio.run(engine.score(tokens, positions))
        (example,) = stage.data.builder.from_labels([record, *records(1)])[:1]  # type: ignore[attr-defined]
        assert (example.token_ids, example.ends) == (tokens, positions)
        with torch.inference_mode():
            hidden = module.model.eval().hidden(torch.tensor([example.token_ids]), use_cache=False)
            logits = module.model.head_logits(hidden)[0, list(example.ends)]
        assert logits.tolist() == pytest.approx(read, abs=1e-4)
        said = [template.decode(tokens[: p + 1]) for p in positions]
        assert said[0] == f"{record.prompt}\n{record.steps[0]}{reading.get('mark', '')}"


@pytest.mark.parametrize("reading", [{}, MARKED], ids=str)
def test_a_label_moves_the_logit_at_its_own_position_only(reading: Any, tmp_path: Path) -> None:
    """The gradient of the loss of one label reaches the hidden state where that label is, and no later one."""
    stage = staged(tmp_path, records(4), reading=reading, steps=1)
    stage.data.setup("fit")
    example = next(e for e in stage.data.train_examples if len(e.ends) == 3)  # type: ignore[attr-defined]
    module: Any = stage.module
    batch = collate([example._replace(ends=example.ends[1:2], labels=example.labels[1:2], ended=False)])
    kept: dict[str, torch.Tensor] = {}

    def hidden(*_: Any, **__: Any) -> torch.Tensor:
        kept["h"] = torch.randn(1, len(example.token_ids), 32, generator=torch.Generator().manual_seed(0))
        return kept["h"].requires_grad_()

    module.model.hidden = hidden
    module.log = module.log_dict = lambda *_: None
    if module.model.head is not None:
        torch.nn.init.ones_(module.model.head.weight)
    module.training_step(batch, 0).backward()
    assert kept["h"].grad is not None
    assert kept["h"].grad.abs().sum(-1)[0].nonzero().flatten().tolist() == [example.ends[1]]


def test_labels_before_the_end_weigh_as_the_objective_says(tmp_path: Path) -> None:
    """Two chains of three steps: four labels of inner steps, two of ends."""
    made = staged(tmp_path, records(4, 2), objective={"kind": "prm", "inner": 4.0})
    module: Any = made.module
    assert module.model.head is not None
    torch.nn.init.normal_(module.model.head.weight)
    made.data.setup("fit")  # type: ignore[attr-defined]
    batch = collate((made.data.train_examples + made.data.heldout_examples)[:2])  # type: ignore[attr-defined]
    assert batch.inner.sum() == 4 and batch.mask_BT.sum() == 6
    assert all(not batch.inner[b, row.nonzero().max()] for b, row in enumerate(batch.mask_BT)), "ends are none of them"
    module.log_dict = lambda *_: None
    loss = module.training_step(batch, 0)
    logits = module.model(batch.token_ids_BT).head
    each = torch.nn.functional.binary_cross_entropy_with_logits(logits, batch.labels_BT, reduction="none")
    weighed = 4 * each[batch.inner].sum() + each[batch.mask_BT & ~batch.inner].sum()
    torch.testing.assert_close(loss, weighed / (4 * 4 + 2))


@pytest.mark.parametrize(
    "change",
    [
        {"objective": {"kind": "orm"}},
        {"objective": {"kind": "pairwise"}},
        {"objective": RANKED},
        {"objective": {"kind": "prm", "inner": 4.0}},
        {"reading": {"by": "head", "mark": "#"}},
        {"reading": TOKENS},
        {"reading": TOKENS | {"good": "!"}},
        {"reading": TOKENS | {"bad": "!"}},
        {"calibrate": True},
        {"objective": {"kind": "pairwise", "pairs_per_problem": 1}, "reading": TOKENS},
        {"objective": {"kind": "pairwise", "loss": "dpo"}, "reading": TOKENS},
        {"objective": {"kind": "pairwise", "loss": "dpo", "beta": 5.0}, "reading": TOKENS},
        {"labels": "other"},
        {"steps": 3},
        {"batch_size": 3},
        {"lora": {"rank": 2, "targets": ["q_proj"]}},
        {"policy": "other"},
    ],
    ids=lambda c: "-".join(map(str, c.values())),
)
def test_every_option_changes_the_result(change: dict[str, Any], tmp_path: Path) -> None:
    base: dict[str, Any] = {"steps": 2, "batch_size": 6}
    if change.get("reading") and change["reading"] != TOKENS:
        base["reading"] = TOKENS if "good" in change["reading"] else {}
    if {"pairs_per_problem", "loss"} & set(change.get("objective", {})):
        base |= {"reading": TOKENS, "objective": {"kind": "pairwise"}}
    if "beta" in change.get("objective", {}):
        base["objective"] = base["objective"] | {"loss": "dpo"}

    def weights(name: str, changes: dict[str, Any]) -> list[torch.Tensor]:
        folder = tmp_path / name
        rows = records(8, 4, seed=int(changes.pop("labels", None) == "other"))
        seed = int(changes.get("policy") == "other")
        stage = staged(folder, rows, seed, **base | changes | {"policy": "sft"})
        trained(stage, folder)
        return list(load_directory(folder / "prm")[0].state_dict().values())

    kind = repr(base)
    if kind not in FOUND:
        FOUND[kind] = weights("a", {})
    first, second = FOUND[kind], weights("b", dict(change))
    same = len(first) == len(second) and all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert not same


def one_sided(rows: list[LabelRecord], value: float) -> list[LabelRecord]:
    return [r.model_copy(update={"labels": [value] * 3, "correct": bool(value)}) for r in rows]


@pytest.mark.parametrize(
    ("change", "rows", "words"),
    [
        ({}, one_sided(records(5), 1.0), "60 labels of which 60 are positive"),
        ({}, one_sided(records(5), 0.0), "60 labels of which 0 are positive"),
        ({"objective": {"kind": "orm"}}, one_sided(records(5), 1.0), "20 labels of which 20 are positive"),
        ({}, [r.model_copy(update={"labels": [None] * 3}) for r in records(5)], "60 steps without a label"),
        ({}, [r.model_copy(update={"prompt": "x" * 200}) for r in records(5)], "60 labels beyond the context, 20 ch"),
        ({"objective": {"kind": "pairwise"}}, one_sided(records(5), 1.0), "two chains of one problem that differ"),
        ({"objective": {"kind": "pairwise"}, "reading": TOKENS}, one_sided(records(5), 1.0), "not two chains"),
        ({}, records(1), "no labelled chains to train on"),
        ({"reading": {"mark": "ab"}}, records(5), "the mark token 'ab' is 2 tokens"),
    ],
    ids=lambda x: x if isinstance(x, str) else "",
)
def test_labels_that_teach_nothing_are_refused_with_their_counts(
    change: Any, rows: Any, words: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=words):
        staged(tmp_path, rows, **change).data.setup("fit")


def test_one_sided_labels_are_trained_on_if_the_recipe_says_so(tmp_path: Path) -> None:
    stage = staged(tmp_path, one_sided(records(12), 1.0), one_sided="train", steps=2)
    assert trained(stage, tmp_path)["labels/positive"] == 12 * 4 * 3


def test_unknown_labels_carry_no_loss_and_cut_ones_are_counted(tmp_path: Path) -> None:
    rows = records(20)
    # Of the first chain of each problem the middle is unknown, and of the second the end does not fit.
    for i, row in enumerate(rows):
        if i % 4 == 0:
            rows[i] = row.model_copy(update={"labels": [row.labels[0], None, row.labels[2]]})
        if i % 4 == 1:
            rows[i] = row.model_copy(update={"steps": [*row.steps[:2], "a" * 90 + row.steps[2]]})
    stage = staged(tmp_path, rows)
    stage.data.setup("fit")
    counts = stage.data.builder.counts  # type: ignore[attr-defined]
    assert (counts.chains, counts.ignored, counts.cut, counts.dropped) == (80, 20, 20, 0)
    assert counts.labelled == 240 - 40
    one, two = stage.data.train_examples[:2]  # type: ignore[attr-defined]
    assert len(one.ends) == 2 and one.ended and not one.complete
    assert len(two.ends) == 2 and not two.ended and not two.complete and len(two.token_ids) == 96


def test_one_batch_can_be_learned_by_heart(tmp_path: Path) -> None:
    """Random labels of one batch: a model whose labels are where it is read can learn them, and only then."""
    rng = Random(3)
    rows = [r.model_copy(update={"labels": [float(rng.random() < 0.5) for _ in range(3)]}) for r in records(5, 2)]
    stage = staged(tmp_path, rows, steps=40, batch_size=8, reading=MARKED)
    losses = []
    module: Any = stage.module
    step = module.training_step
    module.training_step = lambda batch, batch_idx: losses.append(step(batch, batch_idx)) or losses[-1]
    trained(stage, tmp_path)
    assert losses[0].item() > 0.5
    assert losses[-1].item() < 0.05
