"""`LanguagePolicy`: a language model as a search sees it: steps of text instead of tokens."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

from o1kit.decoding import Decoding
from o1kit.errors import DataError
from o1kit.functional.answers import AnswerRule, find_answer
from o1kit.protocols import Engine, Sampling, Span
from o1kit.types import Account, Action, Completion, Phase, Problem, State

DELIMITER = "\n"
"""A step ends with the token that holds this."""


class PromptTemplate:
    """Text to tokens and back: the prompt of a problem, the ends of steps, the final answer.

    A tokenizer with a chat template gets the problem as the user's message; any other gets it on a line of its own.
    """

    def __init__(self, tokenizer: Any, answer_rule: AnswerRule = "stated") -> None:
        self.tokenizer = tokenizer
        self.answer_rule: AnswerRule = answer_rule
        self.eos_id = int(tokenizer.eos_token_id)

    def encode(self, text: str) -> list[int]:
        """Token ids of plain text."""
        return list(self.tokenizer(text, add_special_tokens=False).input_ids)

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text of tokens, end-of-text left out."""
        return str(self.tokenizer.decode([t for t in token_ids if t != self.eos_id], skip_special_tokens=False))

    def written(self, token_ids: Sequence[int]) -> str:
        """The text of tokens with all special ones written out, as a server reads it."""
        return str(self.tokenizer.decode(list(token_ids), skip_special_tokens=False))

    def prompt(self, problem: Problem) -> list[int]:
        """Token ids that the chain of thought follows. They depend on what the policy may see only."""
        if getattr(self.tokenizer, "chat_template", None):
            message = [{"role": "user", "content": problem.prompt}]
            text = self.tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
            return self.encode(text)
        return self.encode(problem.prompt + DELIMITER)

    @cached_property
    def step_ids(self) -> frozenset[int]:
        """Tokens whose text ends a step."""
        size = len(self.tokenizer)
        texts = self.tokenizer.batch_decode([[i] for i in range(size)])
        return frozenset(i for i, text in enumerate(texts) if text.endswith(DELIMITER)) - {self.eos_id}

    def check_steps(self) -> None:
        """Makes sure that this tokenizer can write and read what ends a step.

        Raises:
            DataError: it cannot: every chain would be one step, and searches and labels would not say so.
        """
        kept = DELIMITER in self.decode(self.encode(f"a{DELIMITER}b"))
        last = self.encode(f"a{DELIMITER}")[-1:]
        if kept and (self.decode(last).endswith(DELIMITER) or self.step_ids):  # the latter asks about every token
            return
        raise DataError(
            "the model's tokenizer has no line end: it cannot encode one and give it back, or has no token that ends "
            "with one. A step of a chain ends with a line end, so every chain would be a single step. "
            "Use a model whose tokenizer has a token for line ends."
        )

    def answer(self, text: str) -> str | None:
        """The final answer of a chain by the recipe's rule, or None."""
        return find_answer(text, self.answer_rule)


class LanguagePolicy:
    """Steps from an engine. `key` arguments make every draw reproducible, whatever else is sampled with it.

    One that `judges` charges what it samples to the phase `score`.
    """

    def __init__(
        self,
        engine: Engine,
        template: PromptTemplate,
        max_tokens: int = 512,
        others: Callable[[str], LanguagePolicy] | None = None,
        *,
        judges: bool = False,
    ) -> None:
        self.engine = engine
        self.template = template
        self.max_tokens = max_tokens
        self.alternatives = 0
        """At least so many alternatives are reported with every sample, whatever is asked for."""
        self._others = others
        self._judges = judges

    def start(self, problem: Problem) -> State:
        """The state before the first step."""
        return State(problem, tuple(self.template.prompt(problem)))

    async def propose(
        self, state: State, n: int, *, key: int, decoding: Decoding = Decoding(), span: Span = Span()
    ) -> list[Action]:
        """`n` next steps, each up to a step delimiter, the span's own limit, or the end of the chain."""
        most = min(span.max_tokens, self.max_tokens) if span.max_tokens else self.max_tokens
        sampling = Sampling(key, self._told(decoding), most, frozenset() if span.max_tokens else self.template.step_ids)
        given = tuple(self.template.encode(span.prefix))
        prompt = (*state.token_ids, *self.template.encode(span.hint), *given)
        if len(prompt) > len(state.token_ids) and len(prompt) >= self.engine.context_length:
            return [Action("", Completion((), (), "context"))] * n  # what is put in leaves no room: the chain ends
        completions = await self.engine.sample(prompt, n, sampling, self._account(state, "expand"))
        if most < self.max_tokens:  # cut for the span's sake, not because there was no more room
            completions = [replace(c, finish="step") if c.finish == "length" else c for c in completions]
        completions = [_with_given(c, given) for c in completions]
        before = state.token_ids[len(state.prompt_ids) :] if span.max_tokens else ()
        return [Action(self._said(before, c.token_ids), c) for c in completions]

    async def complete(
        self, state: State, n: int, *, key: int, decoding: Decoding = Decoding(), first: int = 0
    ) -> list[State]:
        """`n` chains that continue the state to their end."""
        sampling = Sampling(key, self._told(decoding), self.max_tokens, first=first)
        completions = await self.engine.sample(state.token_ids, n, sampling, self._account(state, "simulate"))
        return [State(state.problem, state.prompt_ids, state.actions + self.split(c)) for c in completions]

    def named(self, model: str) -> LanguagePolicy:
        """The same with the model of another stage; an empty name is this one."""
        if not model:
            return self
        if self._others is None:
            raise ValueError(f"no model {model!r} was given to this policy")
        return self._others(model)

    def answer(self, state: State) -> str | None:
        """The final answer that a finished chain states, or None."""
        if not state.terminal or state.actions[-1].completion.finish != "answer":
            return None
        # Decoded as a whole: actions may end inside a word or a character, and decode otherwise on their own.
        return self.template.answer(self.template.decode(state.token_ids[len(state.prompt_ids) :]))

    def _told(self, decoding: Decoding) -> Decoding:
        return replace(decoding, alternatives=max(decoding.alternatives, self.alternatives))

    def _account(self, state: State, phase: Phase) -> Account:
        return Account(state.problem.id, "score" if self._judges else phase)

    def _said(self, before: Sequence[int], token_ids: Sequence[int]) -> str:
        """What tokens add to the text of the tokens before them."""
        if not before:
            return self.template.decode(token_ids)
        return self.template.decode((*before, *token_ids))[len(self.template.decode(before)) :]

    def text(self, token_ids: Sequence[int]) -> str:
        """What tokens say, end-of-text left out."""
        return self.template.decode(token_ids)

    def split(self, completion: Completion) -> tuple[Action, ...]:
        """A completion cut into steps after each delimiter."""
        tokens = completion.token_ids
        ends = [i + 1 for i, t in enumerate(tokens[:-1]) if t in self.template.step_ids] + [len(tokens)]
        actions = []
        for start, stop in zip([0, *ends[:-1]], ends, strict=True):
            part = Completion(
                tokens[start:stop],
                completion.logprobs[start:stop],
                "step" if stop < len(tokens) else completion.finish,
                completion.values[start:stop],
                completion.alternatives[start:stop],
            )
            actions.append(Action(self.template.decode(part.token_ids), part))
        return tuple(actions)


def _with_given(completion: Completion, given: tuple[int, ...]) -> Completion:
    """A completion of a prompt that ended with `given`, as one that begins with it."""
    if not given:
        return completion
    return replace(
        completion,
        token_ids=given + completion.token_ids,
        logprobs=(0.0,) * len(given) + completion.logprobs if completion.logprobs else (),
        values=completion.values[:1] * len(given) + completion.values,
        alternatives=((),) * len(given) + completion.alternatives if completion.alternatives else (),
        given=len(given),
    )
