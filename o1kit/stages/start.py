"""What a training stage starts from: the problems of the recipe and the weights of an earlier stage."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from o1kit import registry
from o1kit.engines.policy import PromptTemplate
from o1kit.errors import DataError, RecipeError
from o1kit.models.config import HfModelConfig, ScratchModelConfig
from o1kit.models.language_model import LanguageModel
from o1kit.models.load import add_lora, build_scratch, load_directory, load_hf, load_tokenizer
from o1kit.models.tokenizer import build_char_tokenizer, phrases_in
from o1kit.protocols import StageInputs
from o1kit.tasks.suite import Suite, build_suite


def suite_of(inputs: StageInputs) -> Suite:
    """All splits of the recipe."""
    recipe = inputs.recipe
    return build_suite(recipe.tasks, recipe.seed, inputs.recipe_directory, recipe.grading)


def teacher_of(name: str) -> Any:
    """The program that writes chains for a kind of problem."""
    return registry.lookup("teachers", name)()


def starting_model(inputs: StageInputs, policy: str | None, suite: Suite) -> tuple[LanguageModel, PromptTemplate]:
    """The model of an earlier stage, or the recipe's own, with its tokenizer."""
    if policy is not None:
        model, tokenizer = load_directory(inputs.artifacts[policy].directory)
    else:
        section = inputs.recipe.model
        model, tokenizer = registry.lookup("models", section.kind)(section, inputs, suite)
    template = template_for(tokenizer, suite)
    if policy is None:
        check_prompts(suite, template, model.context_length)
    return model, template


def template_for(tokenizer: Any, suite: Suite) -> PromptTemplate:
    """How a model's tokenizer reads problems and writes steps.

    Raises:
        DataError: no step could end with it.
    """
    template = PromptTemplate(tokenizer, suite.grading.answer_rule)
    template.check_steps()
    return template


def scratch_model(config: ScratchModelConfig, inputs: StageInputs, suite: Suite) -> tuple[LanguageModel, Any]:
    """A model with random weights, and a tokenizer built from the training problems."""
    tokenizer = character_tokenizer(inputs, suite, config.tokenizer.phrases)
    return build_scratch(config, tokenizer, inputs.seed), tokenizer


def hf_model(config: HfModelConfig, inputs: StageInputs, suite: Suite) -> tuple[LanguageModel, Any]:
    """A local or downloaded model and its tokenizer."""
    return load_hf(config)


def served_template(inputs: StageInputs, policy: str | None, suite: Suite) -> tuple[PromptTemplate, int]:
    """Tokenizer and context of an earlier stage, or of the recipe's own model, whose weights a server holds."""
    if policy is not None:
        found = load_tokenizer(inputs.artifacts[policy].directory)
    else:
        found = load_tokenizer(inputs.recipe.model.source, inputs.recipe.model.context_length)
    template = template_for(found.tokenizer, suite)
    if policy is None:
        check_prompts(suite, template, found.context_length)
    return template, found.context_length


def recipe_template(inputs: StageInputs, suite: Suite) -> tuple[PromptTemplate, int]:
    """Tokenizer and context of the recipe's model, which all its stages share.

    No weights are made or read, but by a plugin's model that has no `source` to read a tokenizer from.
    """
    section = inputs.recipe.model
    if isinstance(section, ScratchModelConfig):
        template = template_for(character_tokenizer(inputs, suite, section.tokenizer.phrases), suite)
        check_prompts(suite, template, section.context_length)
        return template, section.context_length
    if getattr(section, "source", None) is None:
        model, template = starting_model(inputs, None, suite)
        return template, model.context_length
    return served_template(inputs, None, suite)


def check_prompts(suite: Suite, template: PromptTemplate, context: int) -> None:
    """Makes sure that every prompt of every split leaves room for an answer, before anything is trained.

    Raises:
        DataError: one does not.
    """
    for split in suite.splits:
        for problem in suite.problems(split):
            if len(problem.prompt.encode()) < context // 2:  # a token has at least one byte
                continue
            length = len(template.prompt(problem))
            if length >= context:
                raise DataError(
                    f"problem {problem.id}: its prompt has {length} tokens and does not fit the model's context of "
                    f"{context}. Raise model.context_length or make the problems smaller."
                )


def trainable(model: LanguageModel, inputs: StageInputs) -> LanguageModel:
    """The model with the stage's adapters, if its recipe section asks for them."""
    if inputs.config.lora is not None:
        try:
            add_lora(model, inputs.config.lora)
        except RecipeError as error:
            i = [stage.name for stage in inputs.recipe.stages].index(inputs.config.name)
            raise error.at(inputs.recipe.where("stages", i, "lora", "targets")) from error
    return model


def character_tokenizer(inputs: StageInputs, suite: Suite, phrases: Iterable[str] = ()) -> Any:
    """A token for each character of the training problems, each phrase, and each phrase of the teachers in use."""
    return build_char_tokenizer(phrases_in(inputs.recipe, phrases), (p.prompt for p in suite.problems("train")))
