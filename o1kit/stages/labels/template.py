"""The prompt template of a policy whose weights are not needed, wherever they are."""

from __future__ import annotations

from o1kit.engines.policy import PromptTemplate
from o1kit.protocols import StageInputs
from o1kit.stages.evaluate.config import OWN
from o1kit.stages.start import recipe_template, served_template
from o1kit.tasks.suite import Suite


def template_of(inputs: StageInputs, policy: str, suite: Suite) -> PromptTemplate:
    """The template of a stage's model, or of the recipe's own."""
    return recipe_template(inputs, suite)[0] if policy == OWN else served_template(inputs, policy, suite)[0]
