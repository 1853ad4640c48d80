"""The tokenizer and models: round trips through their Hugging Face folders, and what a head may and may not change."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from o1kit.engines.policy import PromptTemplate
from o1kit.errors import DataError, EnvironmentFailure
from o1kit.models.config import HfModelConfig
from o1kit.models.load import load_directory, load_hf, save_directory
from o1kit.models.tokenizer import build_char_tokenizer
from o1kit.protocols import Artifact, StageInputs
from o1kit.stages.evaluate.config import OWN
from o1kit.stages.models import Models
from o1kit.stages.start import check_prompts, served_template, starting_model, suite_of
from o1kit.tasks.suite import build_suite
from tests.small import small
from tests.tiny import tiny

CPU = torch.device("cpu")
PHRASES = ["ab", "abc", " ok\n", "7+8^="]


@settings(max_examples=200, deadline=None)
@given(st.text(st.characters(min_codepoint=32, max_codepoint=126)) | st.sampled_from(["abcab", "7+8^=5", "x ok\n ok"]))
def test_text_survives_the_tokenizer(text: str) -> None:
    template = PromptTemplate(build_char_tokenizer(PHRASES))
    assert template.decode(template.encode(text)) == text


def test_phrases_are_single_tokens_longest_first() -> None:
    tokenizer = build_char_tokenizer(PHRASES)
    assert tokenizer.tokenize("abcabx7+8^=") == ["abc", "ab", "x", "7+8^="]
    assert len(PromptTemplate(tokenizer).encode("é")) == 1
    assert PromptTemplate(build_char_tokenizer([], ["né"])).decode([]) == ""


def test_a_model_survives_its_folder(tmp_path: Path) -> None:
    model, template = tiny(head=True)
    save_directory(model, template.tokenizer, tmp_path)
    again, tokenizer = load_directory(tmp_path)
    ids = torch.tensor([template.encode("1+1=2 ok\n")])
    with torch.inference_mode():
        assert torch.equal(model(ids).logits, again(ids).logits)
        assert torch.equal(model(ids).head, again(ids).head)
    assert tokenizer("1+1= ok\n").input_ids == template.encode("1+1= ok\n")
    assert PromptTemplate(tokenizer).step_ids == template.step_ids


def test_a_recipe_can_name_a_local_hugging_face_model(tmp_path: Path) -> None:
    model, template = tiny()
    save_directory(model, template.tokenizer, tmp_path)
    loaded, _ = load_hf(HfModelConfig(kind="hf", source=str(tmp_path), context_length=48))
    assert loaded.context_length == 48
    with pytest.raises(EnvironmentFailure, match="cannot load a model"):
        load_hf(HfModelConfig(kind="hf", source=str(tmp_path / "nowhere")))


def without(piece: str) -> PreTrainedTokenizerFast:
    """The tokenizer of the tests without one of its characters, which it reads as unknown."""
    made = build_char_tokenizer([])
    data = json.loads(made.backend_tokenizer.to_str())
    vocabulary = [token for token in data["model"]["vocab"] if token != piece]
    data["model"]["vocab"] = {token: i for i, token in enumerate(vocabulary)}
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(data)), eos_token="<eos>")


@pytest.mark.parametrize("policy", [None, "sft"])
def test_a_tokenizer_that_cannot_end_a_step_is_refused_when_it_is_loaded(policy: str | None, tmp_path: Path) -> None:
    """Every chain would be one step, and no figure would say so."""
    save_directory(tiny()[0], without("\n"), tmp_path)
    recipe = small(model={"kind": "hf", "source": str(tmp_path)})
    artifacts = {"sft": Artifact("sft", "sft", tmp_path, "x")}
    inputs = StageInputs(recipe.stages[0], recipe, Path(), tmp_path, artifacts, 0)
    suite = suite_of(inputs)
    for load in (starting_model, served_template, lambda *_: Models(inputs, suite, lambda: CPU).policy(policy or OWN)):
        with pytest.raises(DataError, match=r"tokenizer has no line end.*every chain would be a single step"):
            load(inputs, policy, suite)


def test_a_tokenizer_may_end_steps_with_any_token_that_ends_with_a_line_end() -> None:
    PromptTemplate(without("x")).check_steps()
    PromptTemplate(build_char_tokenizer([" ok\n", "a\n"])).check_steps()


def test_a_new_head_says_an_even_chance_and_leaves_the_logits_alone() -> None:
    model, template = tiny()
    ids = torch.tensor([template.encode("1+1=")])
    with torch.inference_mode():
        before = model(ids).logits
        model.add_head()
        after = model(ids)
    assert torch.equal(before, after.logits)
    assert after.head is not None and after.head.abs().max() == 0


def test_a_prompt_beyond_the_context_is_found_before_training() -> None:
    recipe = small()
    suite = build_suite(recipe.tasks, 0, Path())
    check_prompts(suite, tiny()[1], 200)
    with pytest.raises(DataError, match=r"does not fit the model's context of 12"):
        check_prompts(suite, tiny()[1], 12)
