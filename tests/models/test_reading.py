"""How a reward model is read travels with it, and label tokens that a tokenizer splits are errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from o1kit.errors import DataError
from o1kit.models.load import load_directory, save_directory
from o1kit.models.reading import Reading, marked, read_reading, reading_ids, write_reading
from tests.tiny import tiny


def test_label_tokens_are_read_as_log_odds_and_survive_saving(tmp_path: Path) -> None:
    model, tokenizer = _saved(tmp_path)
    reading = Reading(by="tokens", good="a", bad="b")
    write_reading(tmp_path, reading)
    again, _ = load_directory(tmp_path)
    ids = torch.tensor([[5, 6, 7, 8]])
    logits = model(ids).logits
    good, bad = (tokenizer.encode(t, add_special_tokens=False)[0] for t in "ab")
    assert read_reading(tmp_path) == reading
    assert again.head is None and again.scores
    expected = torch.log_softmax(logits, -1)[..., good] - torch.log_softmax(logits, -1)[..., bad]
    torch.testing.assert_close(again(ids).head, expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"by": "tokens", "good": "a", "bad": "bc"}, "the bad token 'bc' is 2 tokens"),
        ({"by": "tokens", "good": "a", "bad": "b", "mark": "a"}, "must be different tokens"),
        ({"mark": "ab"}, "the mark token 'ab' is 2 tokens"),
    ],
)
def test_a_tokenizer_that_splits_label_tokens_is_an_error(options: Any, message: str, tmp_path: Path) -> None:
    _, tokenizer = _saved(tmp_path)
    with pytest.raises(DataError, match=message):
        reading_ids(Reading(**options), tokenizer)


@pytest.mark.parametrize("options", [{"by": "tokens"}, {"good": "a", "bad": "b"}, {"by": "tokens", "good": "a"}])
def test_labels_belong_to_tokens(options: Any) -> None:
    with pytest.raises(ValidationError):
        Reading(**options)


def test_a_folder_without_the_file_is_read_off_its_head(tmp_path: Path) -> None:
    assert read_reading(tmp_path) == Reading(kind="prm", by="head")
    (tmp_path / "reward.json").write_text('{"kind": "prn"}')
    with pytest.raises(DataError, match=r"reward\.json"):
        read_reading(tmp_path)


def _saved(folder: Path) -> tuple[Any, Any]:
    model, template = tiny()
    save_directory(model, template.tokenizer, folder)
    return model, template.tokenizer


def test_calibration_of_label_tokens_is_stored_and_applied(tmp_path: Path) -> None:
    _saved(tmp_path)
    ids = torch.tensor([[5, 6, 7, 8]])
    write_reading(tmp_path, Reading(by="tokens", good="a", bad="b"))
    raw = load_directory(tmp_path)[0](ids).head
    write_reading(tmp_path, Reading(by="tokens", good="a", bad="b", scale=0.5, bias=-2.0))
    torch.testing.assert_close(load_directory(tmp_path)[0](ids).head, 0.5 * raw - 2)
    with pytest.raises(ValidationError, match="a head holds its own"):
        Reading(scale=0.5)


@pytest.mark.parametrize(
    ("mark", "tokens", "positions"), [(None, (1, 2, 3, 4, 5), (3, 4)), (9, (1, 2, 3, 4, 9, 5, 9), (4, 6))]
)
def test_steps_are_read_at_their_last_token_or_at_the_mark_after_it(mark: Any, tokens: Any, positions: Any) -> None:
    assert marked([1, 2], [[3, 4], [5]], mark) == (tokens, positions)
