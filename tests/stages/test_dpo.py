"""Direct preference optimisation on pairs whose better chain is known, with a real tiny model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from o1kit import registry
from o1kit.errors import DataError
from o1kit.models.load import load_directory, save_directory
from o1kit.protocols import BuiltStage
from o1kit.report.label_schema import PairRecord, Provenance
from o1kit.report.labels import write_records
from o1kit.stages.dpo.data import Pair, Row, collate, read_logprobs
from tests.small import RECIPE, built, small
from tests.tiny import tiny

pytestmark = pytest.mark.slow

FROM = Provenance(source="test")
FOUND: dict[str, torch.Tensor] = {}
"""Weights that options are compared with."""
DPO: dict[str, Any] = {
    "kind": "dpo",
    "name": "dpo",
    "policy": "sft",
    "pairs": {"kind": "file", "path": "pairs.jsonl"},
    "steps": 12,
    "batch_size": 8,
    "optimizer": {"lr": 3e-3, "warmup_steps": 1},
}


def pairs(count: int = 40) -> list[PairRecord]:
    """Chains that share their first step; the better one goes on with `x`, the other with `y`."""
    return [
        PairRecord(
            problem=f"p{i}",
            prompt=f"{i}+1=?",
            chosen=["a ok\n", f"x{i % 7}x ok\n", "So the answer is x"],
            rejected=["a ok\n", f"y{i % 5} ok\n", "So the answer is y"],
            shared=1,
            provenance=FROM,
        )
        for i in range(count)
    ]


def staged(folder: Path, records: list[PairRecord], **changes: Any) -> BuiltStage:
    """A dpo stage on a saved tiny model."""
    model, template = tiny(context=96)
    save_directory(model, template.tokenizer, folder / "sft")
    write_records(folder / "pairs.jsonl", records)
    section = DPO | changes
    section["pairs"] = {"kind": "file", "path": str(folder / "pairs.jsonl")}
    recipe = small(stages=[RECIPE["stages"][0], section])
    return built(recipe, "dpo", folder / "dpo", {"sft": folder / "sft"})


def trained(stage: BuiltStage) -> BuiltStage:
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False)
    trainer = L.Trainer(accelerator="cpu", **quiet, **stage.trainer)  # type: ignore[arg-type]
    trainer.fit(stage.module, datamodule=stage.data)
    return stage


def export(stage: BuiltStage, folder: Path) -> dict[str, Any]:
    return dict(registry.lookup("stages", "dpo")().export(stage, folder / "dpo"))


def test_a_policy_learns_what_is_preferred_on_problems_it_was_not_trained_on(tmp_path: Path) -> None:
    stage = trained(staged(tmp_path, pairs(), steps=15, sft_coef=0.2))
    summary = export(stage, tmp_path)
    assert summary["dpo/acc"] == 1.0
    assert summary["dpo/margin"] > 0.5
    assert summary["dpo/kl"] > 0
    assert summary["dpo/heldout_pairs"] == 4
    assert summary["pairs/pairs"] == 40 and summary["pairs/equal"] == 0
    assert summary["pairs/shared_tokens"] == 40 * 2, "the tokens of the first step"
    model, _ = load_directory(tmp_path / "dpo")
    assert model.head is None
    rows = stage.data.heldout_rows  # type: ignore[attr-defined]
    batch = collate(rows, masks_prefix=True)
    sums = (read_logprobs(model, batch) * batch.mask_BT[:, 1:]).sum(1) - batch.reference_B
    chosen, rejected = sums.chunk(2)
    assert float((0.1 * (chosen - rejected)).mean()) == pytest.approx(summary["dpo/margin"], rel=1e-4)


def test_before_the_first_step_policy_and_reference_agree(tmp_path: Path) -> None:
    stage = staged(tmp_path, pairs())
    stage.data.setup("fit")
    module: Any = stage.module
    module.eval()
    for smoothing in (0.0, 0.3):
        module.config = module.config.model_copy(update={"label_smoothing": smoothing})
        judged = module.judge(collate(stage.data.train_rows, masks_prefix=True))  # type: ignore[attr-defined]
        assert float(judged.loss) == pytest.approx(0.6931472, abs=1e-5)
        assert judged.ratios.margin.abs().max() < 1e-4


def test_log_probabilities_and_masks_by_hand() -> None:
    model, _ = tiny()
    pair = Pair("p", (5, 6), (7, 8, 9), (7, 3), 1)
    batch = collate([Row(pair, -1.0, -2.0)], masks_prefix=True)
    assert batch.token_ids_BT.tolist() == [[5, 6, 7, 8, 9], [5, 6, 7, 3, 0]]
    assert batch.chain_BT.int().tolist() == [[0, 0, 1, 1, 1], [0, 0, 1, 1, 0]]
    assert batch.mask_BT.int().tolist() == [[0, 0, 0, 1, 1], [0, 0, 0, 1, 0]]
    assert torch.equal(collate([Row(pair, 0, 0)], masks_prefix=False).mask_BT, batch.chain_BT)
    found = read_logprobs(model, batch)
    for row, tokens in enumerate([[5, 6, 7, 8, 9], [5, 6, 7, 3]]):
        logits = torch.log_softmax(model.lm(torch.tensor([tokens])).logits[0].float(), -1)
        expected = [0.0] + [float(logits[i - 1, tokens[i]]) for i in range(2, len(tokens))]
        assert found[row, : len(expected)].tolist() == pytest.approx(expected, abs=1e-5)


def test_shared_tokens_cancel_in_a_sum_and_count_in_a_mean(tmp_path: Path) -> None:
    stage = staged(tmp_path, pairs(12))
    stage.data.setup("fit")
    other, _ = tiny(seed=5)
    margins = {}
    module: Any = stage.module
    for masks in (True, False):
        stage.data.config = stage.data.config.model_copy(update={"mask_shared_prefix": masks})  # type: ignore
        stage.data.cache.unlink()  # type: ignore[attr-defined]
        stage.data.train_rows = []  # type: ignore[attr-defined]
        stage.data.setup("fit")
        module.model = other
        for over in ("sum", "mean"):
            module.config = module.config.model_copy(update={"log_ratio": over})
            margins[masks, over] = module.judge(collate(stage.data.train_rows, masks)).ratios.margin  # type: ignore
    torch.testing.assert_close(margins[True, "sum"], margins[False, "sum"], atol=1e-4, rtol=1e-4)
    assert not torch.allclose(margins[True, "mean"], margins[False, "mean"], atol=1e-3)


@pytest.mark.parametrize(
    "change",
    [
        {"beta": 0.5},
        {"loss": "ipo"},
        {"log_ratio": "mean"},
        {"label_smoothing": 0.2},
        {"mask_shared_prefix": False, "log_ratio": "mean"},
        {"sft_coef": 1.0},
        {"reference": "other"},
        {"steps": 3},
        {"batch_size": 4},
        {"optimizer": {"lr": 1e-3}},
        {"lora": {"rank": 2, "targets": ["q_proj"]}},
    ],
    ids=lambda c: "-".join(c),
)
def test_every_option_changes_the_result(change: dict[str, Any], tmp_path: Path) -> None:
    def weights(name: str, changes: dict[str, Any]) -> torch.Tensor:
        folder = tmp_path / name
        model, template = tiny(context=96)
        save_directory(model, template.tokenizer, folder / "sft")
        save_directory(tiny(seed=9, context=96)[0], template.tokenizer, folder / "other")
        write_records(folder / "pairs.jsonl", pairs(12))
        section = DPO | {"steps": 2, "pairs": {"kind": "file", "path": str(folder / "pairs.jsonl")}} | changes
        first = RECIPE["stages"][0]
        recipe = small(stages=[first, first | {"name": "other"}, section])
        stage = trained(built(recipe, "dpo", folder / "dpo", {n: folder / n for n in ("sft", "other")}))
        export(stage, folder)
        return load_directory(folder / "dpo")[0].lm.state_dict()["model.layers.0.self_attn.q_proj.weight"]

    base = "mean" if "mask_shared_prefix" in change else "sum"
    if base not in FOUND:
        FOUND[base] = weights("a", {"log_ratio": base})
    assert not torch.equal(FOUND[base], weights("b", change))


def test_pairs_that_teach_nothing_are_left_out_or_refused(tmp_path: Path) -> None:
    long = PairRecord(problem="z", prompt="1", chosen=["a" * 200], rejected=["a" * 201], provenance=FROM)
    stage = staged(tmp_path, [*pairs(12), long])
    stage.data.setup("fit")
    counts = stage.data.counts  # type: ignore[attr-defined]
    assert (counts.pairs, counts.equal, counts.cut) == (12, 1, 2)
    for number, records in enumerate(([long, long.model_copy(update={"problem": "y"})], pairs(1))):
        with pytest.raises(DataError, match="no pairs to train on"):
            staged(tmp_path / str(number), records).data.setup("fit")


def test_the_reference_is_asked_once(tmp_path: Path) -> None:
    stage = staged(tmp_path, pairs(12))
    stage.data.setup("fit")
    again = staged(tmp_path, pairs(12))
    again.data.reference = None  # type: ignore[attr-defined]
    again.data.reference = type("Silent", (), {"context_length": 96})()  # type: ignore[attr-defined]
    again.data.setup("fit")
    assert again.data.train_rows == stage.data.train_rows  # type: ignore[attr-defined]


def test_tokens_of_another_tokenizer_are_refused(tmp_path: Path) -> None:
    _, template = tiny()
    fitting = [
        r.model_copy(
            update={
                "prompt_ids": template.encode(f"{r.prompt}\n"),
                "chosen_ids": [*template.encode("".join(r.chosen)), template.eos_id],
                "rejected_ids": [*template.encode("".join(r.rejected)), template.eos_id],
            }
        )
        for r in pairs(12)
    ]
    as_tokens, as_text = staged(tmp_path / "a", fitting), staged(tmp_path / "b", pairs(12))
    as_tokens.data.setup("fit")
    as_text.data.setup("fit")
    assert as_tokens.data.train_rows == as_text.data.train_rows  # type: ignore[attr-defined]
    wrong = [r.model_copy(update={"chosen_ids": [t + 1 for t in r.chosen_ids]}) for r in fitting]
    with pytest.raises(DataError, match="another tokenizer's"):
        staged(tmp_path / "c", wrong).data.setup("fit")
