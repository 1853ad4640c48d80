"""The prompt template of a policy whose weights are not needed, wherever they are."""

from __future__ import annotations

from o1kit.engines.policy import PromptTemplate
from o1kit.models.config import ScratchModelConfig
from o1kit.protocols import StageInputs
from o1kit.stages.evaluate.config import OWN
from o1kit.stages.start import served_template, starting_model
from o1kit.tasks.suite import Suite


def template_of(inputs: StageInputs, policy: str, suite: Suite) -> PromptTemplate:
    """The template of a stage's model, or of the recipe's own."""
    if policy == OWN and isinstance(inputs.recipe.model, ScratchModelConfig):
        return starting_model(inputs, None, suite)[1]
    return served_template(inputs, None if policy == OWN else policy, suite)[0]
