"""`Desk`: what a search over answers asks of models, and the tokens that it takes."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from o1kit.decoding import Decoding
from o1kit.errors import DataError
from o1kit.functional.prompts import fill
from o1kit.protocols import Policy, Span
from o1kit.search.noise import derive
from o1kit.search.self_refine.config import SelfRefineConfig
from o1kit.types import Action, Problem, State, Usage


@dataclass(eq=False)
class Desk:
    """Puts composed prompts to models. A prompt that does not fit a model's context gets no reply: None."""

    config: SelfRefineConfig
    policy: Policy
    root: State
    usage: Usage = field(default_factory=Usage)

    @property
    def spent(self) -> bool:
        """True once the token budget has been generated."""
        budget = self.config.token_budget
        return budget is not None and self.usage.generated >= budget

    @property
    def problem(self) -> Problem:
        """The problem."""
        return self.root.problem

    async def first(self, key: int) -> State:
        """The answer to the problem itself."""
        (state,) = await self.policy.complete(self.root, 1, key=key, decoding=self.config.decoding)
        self._charge(self.root, len(state.token_ids) - len(self.root.token_ids))
        return state

    async def refine(self, answer: str, key: int) -> State | None:
        """A critique of an answer, then a new answer; the state of the latter, with its own prompt."""
        prompt = fill(self.config.critique_prompt, problem=self.problem.prompt, answer=answer)
        span = Span(max_tokens=self.config.critique_tokens)
        critic = self.policy.named(self.config.critic or "")
        critique = await self.ask(critic, prompt, span, derive(key, 0), self.config.decoding)
        if critique is None:
            return None
        prompt = fill(
            self.config.rewrite_prompt, problem=self.problem.prompt, answer=answer, critique=critique.text.strip()
        )
        return await self._complete(prompt, derive(key, 1))

    async def ask(self, model: Policy, prompt: str, span: Span, key: int, decoding: Decoding) -> Action | None:
        """One reply to a prompt."""
        start = self._start(model, prompt)
        try:
            (action,) = await model.propose(start, 1, key=key, decoding=decoding, span=span)
        except DataError:
            return None
        self._charge(start, len(action.completion.token_ids))
        return action

    async def _complete(self, prompt: str, key: int) -> State | None:
        start = self._start(self.policy, prompt)
        try:
            (state,) = await self.policy.complete(start, 1, key=key, decoding=self.config.decoding)
        except DataError:
            return None
        self._charge(start, len(state.token_ids) - len(start.token_ids))
        return state

    def _start(self, model: Policy, prompt: str) -> State:
        return model.start(replace(self.problem, prompt=prompt))

    def _charge(self, start: State, generated: int) -> None:
        self.usage += Usage(prompt=len(start.token_ids), generated=generated)

    def charge_scored(self, tokens: int) -> None:
        """Counts tokens that a reward model has read."""
        self.usage += Usage(scored=tokens)
