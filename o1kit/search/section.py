"""What the recipe sections of all searches have in common."""

import hashlib
import re
from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from o1kit.config import SHARE, TOKENS, Config, Positive, Probability, Tokens
from o1kit.decoding import Decoding

Share = Annotated[float, Field(gt=0.0, le=1.0), SHARE]
Aggregate = Literal["min", "prod", "last", "mean", "geometric_mean", "max"]
TOP_TOKENS = 5
"""Likeliest tokens in Marco-o1's confidence."""
LONGEST = 24
"""Characters of a value that a title shows."""
NAME = "prm"
"""What a title calls the stage's judge; a table puts the kind of another one in its place."""


def renamed(word: object) -> object:
    """The word, unless it is `prm`, as recipes of before there were other reward models say.

    Raises:
        ValueError: it is.
    """
    if word == "prm":
        raise ValueError("`prm` is now called `judge`: it is what the stage's `judge` names, of any kind")
    return word


Judge = Annotated[Literal["judge", "value_head", "confidence"], BeforeValidator(renamed)]


def named(judge: str) -> str:
    """What a title calls what judges: `prm` for the stage's judge, and what the policy has itself by its own name."""
    return NAME if judge == "judge" else judge


def titled(name: str, details: Iterable[str]) -> str:
    """A name with what sets it apart in brackets: `majority@8 (T=0.7)`."""
    joined = ", ".join(details)
    return f"{name} ({joined})" if joined else name


def differences(section: Config, said: Collection[str] = (), prefix: str = "") -> list[str]:
    """The options that are not the defaults, for a title: `max_steps 8`, `selection uct`, `selection.c 0.5`.

    Long values and texts are told apart by four letters of their digest. `said` names what the title has already.
    """
    found: list[str] = []
    for name, field in type(section).model_fields.items():
        value, usual = getattr(section, name), field.get_default(call_default_factory=True)
        if name == "kind" or name in said:
            continue
        if isinstance(value, Config):
            inner, kind = differences(value, (), f"{prefix}{name}."), getattr(value, "kind", "")
            if type(value) is not type(usual) and (kind or not inner):
                found.append(f"{prefix}{name} {kind}".strip())
            found += inner
        elif value != usual:
            found.append(f"{prefix}{name} {_shown(value)}")
    return found


def _shown(value: object) -> str:
    text = str(value) if isinstance(value, int | float | str) else repr(value)
    return (
        text
        if len(text) <= LONGEST and not re.search(r"[\s{}]", text)
        else "#" + hashlib.sha256(text.encode()).hexdigest()[:4]
    )


class SearchSection(Config):
    """A search: each kind says what it is called in tables and what it cannot do without."""

    @property
    def title(self) -> str:
        """What the search is called in tables: its kind, its budget, what it decides by."""
        return titled(getattr(self, "kind", "search"), differences(self))

    @property
    def bound(self) -> str | None:
        """What the row is called that counts a problem as solved if any of several answers is right; None: one answer.

        It needs the ground truth to choose: a bound, not a method.
        """
        return None

    @property
    def judge(self) -> Judge | None:
        """What must judge steps; None: nothing."""
        return None

    @property
    def judge_key(self) -> str:
        """The option that says what judges."""
        return "leaf_value"

    @property
    def without_judge(self) -> str:
        """How the same kind of search does without a judge, for an error message; empty if it cannot."""
        return ""

    @property
    def models(self) -> tuple[str, ...]:
        """Stages whose models the search uses besides the policy."""
        return ()

    @property
    def cuts_steps(self) -> bool:
        """True when actions may end inside a step, where no process reward model was trained."""
        return False

    @property
    def hints(self) -> bool:
        """True when the policy reads texts that do not stay in the chain: PPO could not tell how likely a step was."""
        return False

    @property
    def oracle(self) -> bool:
        """True when the search itself looks at the ground truth: fit for collecting data, not for a result."""
        return False


class DecodingConfig(SearchSection):
    """How tokens are drawn. What PPO learns from is always the untempered, untruncated distribution."""

    temperature: Positive = 1.0
    """Divides the logits."""
    top_k: Annotated[int, TOKENS] = Field(default=0, ge=0)
    """Draws only from so many of the likeliest tokens; 0: from all."""
    top_p: Share = 1.0
    """Draws only from the fewest tokens whose probabilities reach this sum; 1: from all."""
    min_p: Probability = 0.0
    """Draws only from tokens with at least this share of the likeliest token's probability; 0: from all."""

    @property
    def decoding(self) -> Decoding:
        """The same for an engine."""
        return Decoding(self.temperature, self.top_k, self.top_p, self.min_p)

    @property
    def unusual(self) -> tuple[str, ...]:
        """The settings that are not the defaults, for a title: `T=0.7`, `top_k=5`."""
        names = {"temperature": "T", "top_k": "top_k", "top_p": "top_p", "min_p": "min_p"}
        defaults = {key: type(self).model_fields[key].default for key in names}
        return tuple(
            f"{short}={getattr(self, key):g}" for key, short in names.items() if getattr(self, key) != defaults[key]
        )


class BudgetConfig(DecodingConfig):
    """A search that may be given a budget in tokens."""

    token_budget: Tokens | None = None
    """Starts nothing new once so many tokens have been generated for a problem, whatever the other budget leaves."""

    @property
    def unusual(self) -> tuple[str, ...]:
        """The budget, if there is one, then the settings of the decoding."""
        return (*((f"{self.token_budget} tokens",) if self.token_budget is not None else ()), *super().unusual)


class JudgedConfig(BudgetConfig):
    """A search over chains that something scores."""

    scored_by: Judge = "judge"
    """What scores steps: the stage's `judge`, the policy's value head, or its confidence (Marco-o1).

    Confidence is a mean over the chain so far: with it, `aggregate: last` is that of the whole chain.
    """
    confidence_tokens: Annotated[int, Field(ge=2, le=100), TOKENS] = TOP_TOKENS
    """With confidence: likeliest tokens that a token's probability is compared with."""

    @model_validator(mode="after")
    def _confidence_is_used(self) -> Self:
        if self.scored_by != "confidence" and self.confidence_tokens != TOP_TOKENS:
            raise ValueError("`confidence_tokens` is for `scored_by: confidence`")
        return self

    @property
    def judge(self) -> Judge | None:
        """What scores steps."""
        return self.scored_by

    @property
    def judge_key(self) -> str:
        """The option that says what judges."""
        return "scored_by"

    @property
    def without_judge(self) -> str:
        """With what the policy has itself."""
        return "`scored_by: value_head` (ppo stages) or `scored_by: confidence` here"

    @property
    def decoding(self) -> Decoding:
        """As the recipe says; with confidence, the likeliest tokens are reported too."""
        wanted = self.confidence_tokens if self.judge == "confidence" else 0
        return replace(super().decoding, alternatives=wanted)
