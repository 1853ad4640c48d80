"""Recipe sections of typed actions: a grammar of what may follow what."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from o1kit.config import TOKENS, Config, Count, CountOrZero, Probability, StageName
from o1kit.registry import suggestion

ActionName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
Following = Annotated[dict[ActionName, Count], Field(min_length=1)]
"""Actions with the number of children of each."""


class ActionConfig(Config):
    """One kind of node, for example `critic` or `conclude`."""

    prefix: str = ""
    """Text that the action begins with. It stays in the chain; PPO learns nothing from it."""
    hint: str = ""
    """Text that the policy reads before this action only. It does not stay in the chain."""
    next: dict[ActionName, Count] = {}
    """What may follow, and how many of each; empty: as at the start."""
    model: StageName | None = None
    """Stage whose model writes it; null: the policy. Another model does not agree with itself so easily."""
    max_tokens: Annotated[CountOrZero, TOKENS] = 0
    """Ends the action after so many tokens; 0: at the end of the step."""


class FailureConfig(Config):
    """When a chain fails, another try grows from the nearest node of a kind on its way (Marco-o1 v2)."""

    after: ActionName
    """Kind of the node that gets another child: the nearest above the end of the chain."""
    add: Following
    """What is added there, and how many of each; once a node."""
    below: Probability = 0.5
    """The chain has failed if its value is below this."""
    judged_by: Literal["value", "verifier"] = "value"
    """What says so: the search's own estimate, or the ground truth (the search is then marked `oracle`)."""


class ActionsUnit(Config):
    """A node is a typed action (Marco-o1 v2, arXiv 2503.01461; LLaMA-O1's meta-actions)."""

    kind: Literal["actions"]
    """Selects this unit."""
    start: Following
    """The first actions of a chain, and how many of each."""
    actions: Annotated[dict[ActionName, ActionConfig], Field(min_length=1)]
    """All actions by name."""
    choose: Literal["table", "values"] = "table"
    """`table` makes the children that `next` lists; `values` draws as many from it, the kinds that did well after the
    same parent more often: p = softmax of the sums of values so far (LLaMA-O1's importance sampling)."""
    failure: FailureConfig | None = None
    """What happens when a finished chain is judged wrong."""

    @model_validator(mode="after")
    def _known(self) -> Self:
        names = list(self.actions)
        tables = {"start": self.start, **{f"actions.{name}.next": self.actions[name].next for name in names}}
        if self.failure is not None:
            tables |= {"failure.add": self.failure.add, "failure.after": {self.failure.after: 1}}
        for place, table in tables.items():
            for name in table:
                if name not in self.actions:
                    raise ValueError(
                        f"{place} names {name!r}, which is not among the actions.{suggestion(name, names)}"
                    )
        return self

    @property
    def models(self) -> tuple[str, ...]:
        """Stages whose models write some of the actions."""
        return tuple(dict.fromkeys(a.model for a in self.actions.values() if a.model is not None))

    @property
    def hints(self) -> bool:
        """True when some actions are written after texts that do not stay in the chain."""
        return any(action.hint for action in self.actions.values())

    @property
    def oracle(self) -> bool:
        """True when failures are told by the ground truth."""
        return self.failure is not None and self.failure.judged_by == "verifier"

    def following(self, name: str) -> dict[str, int]:
        """The table of what follows an action; an empty name is the start."""
        return dict((self.actions[name].next if name else self.start) or self.start)
