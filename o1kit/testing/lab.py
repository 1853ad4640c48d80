"""A real small model made on the fly, and what is built on it: engines, policies, judges, problems, chains.

It is trained for a second on sums and stops early: its chains are well formed, end in an answer most times, and differ.
"""

from __future__ import annotations

import asyncio
import copy
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch

from o1kit.engines.policy import LanguagePolicy, PromptTemplate
from o1kit.engines.torch import TorchEngine
from o1kit.models.config import ScratchModelConfig
from o1kit.models.language_model import LanguageModel
from o1kit.models.load import build_scratch
from o1kit.models.tokenizer import build_char_tokenizer
from o1kit.types import Problem, State

PHRASES = [" ok\n", " wait\n", "So the answer is ", "What is "]
STEPS, BATCH, RATE = 60, 24, 1e-2
MARKS = 0.1
ASK_MARK = "Mark it."
"""A prompt that ends with this is answered with a number."""
CONTEXT, LONGEST = 900, 24
"""Tokens of the model's context (a judge that is asked reads a long prompt), and of a chain at most."""
PROBLEMS = tuple(
    Problem(f"lab/{a}+{b}", "lab", f"What is {a}+{b}?") for a, b in ((1, 2), (3, 3), (7, 1), (2, 6), (5, 4), (4, 9))
)


def _chain(draw: random.Random) -> tuple[str, str]:
    """A problem and a chain for it; one in five states a wrong sum, so that the model is of several minds.

    Some ask for a mark and get a number, so that judges that ask for one can be checked.
    """
    a, b = draw.randrange(10), draw.randrange(10)
    if draw.random() < MARKS:
        return f"{ASK_MARK}\n", str(draw.randrange(-9, 100))
    said = a + b if draw.random() < 0.8 else draw.randrange(19)
    first = draw.choice([f"{a}+{b}={said} ok\n", f"{b}+{a}={said} ok\n", f"{said} wait\n{a}+{b}={said} ok\n"])
    return f"What is {a}+{b}?\n", f"{first}So the answer is {said}"


@cache
def template() -> PromptTemplate:
    """The tokenizer of all models here."""
    return PromptTemplate(build_char_tokenizer(PHRASES))


@cache
def model(seed: int = 0) -> LanguageModel:
    """The policy's model, with a value head; the same for the same seed."""
    spelling = template()
    shape = ScratchModelConfig(
        kind="scratch",
        hidden_size=32,
        intermediate_size=64,
        num_layers=2,
        num_heads=4,
        num_kv_heads=2,
        context_length=CONTEXT,
    )
    made = build_scratch(shape, spelling.tokenizer, seed)
    draw = random.Random(seed)
    optimizer = torch.optim.AdamW(made.parameters(), lr=RATE)
    for _ in range(STEPS):
        pairs = [_chain(draw) for _ in range(BATCH)]
        rows = [[*spelling.encode(q), *spelling.encode(c), spelling.eos_id] for q, c in pairs]
        longest = max(map(len, rows))
        tokens = torch.tensor([[*row, *[-100] * (longest - len(row))] for row in rows])
        logits = made(tokens.clamp(min=0)).logits[:, :-1]
        loss = torch.nn.functional.cross_entropy(logits.transpose(1, 2), tokens[:, 1:])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return _headed(made, seed, 0.05, 0.5)


@cache
def reward_model() -> LanguageModel:
    """A reward model: the same decoder with a head of its own."""
    return _headed(copy.deepcopy(model()), 7, 0.5, 0.0)


def _headed(made: LanguageModel, seed: int, scale: float, bias: float) -> LanguageModel:
    """The model with a head whose readings differ from chain to chain."""
    made.add_head()
    assert made.head is not None
    with torch.no_grad():
        torch.nn.init.normal_(made.head.weight, std=scale, generator=torch.Generator().manual_seed(seed))
        made.head.bias.fill_(bias)
    return made.eval().requires_grad_(False)


def engine_of(made: LanguageModel, max_batch: int = 64) -> TorchEngine:
    """An engine over a model."""
    spelling = template()
    return TorchEngine(made, spelling.eos_id, max_batch, decode=spelling.decode)


@dataclass
class Lab:
    """Everything that one run of a plugin uses, new: engines of their own with empty caches and ledgers."""

    max_batch: int = 64
    engines: dict[str, TorchEngine] = field(default_factory=dict)

    def engine(self, name: str = "policy") -> TorchEngine:
        """The engine of that name: `policy` over the policy's model, `judge` over the reward model."""
        if name not in self.engines:
            self.engines[name] = engine_of(reward_model() if name == "judge" else model(), self.max_batch)
        return self.engines[name]

    def policy(self, name: str = "policy", *, judges: bool = False) -> LanguagePolicy:
        """A policy; that of another stage for another name."""
        return LanguagePolicy(self.engine(name), template(), LONGEST, self.policy, judges=judges)

    def sampled(self, *, but: Sequence[str] = ("judge",)) -> int:
        """Tokens that engines generated, those of judges left out."""
        return sum(engine.ledger.total.generated for name, engine in self.engines.items() if name not in but)


@cache
def chains(count: int = 3, alternatives: int = 10) -> tuple[State, ...]:
    """Some finished chains for each problem, sampled by the policy with its alternatives told; equal ones left out."""
    policy = Lab().policy()
    policy.alternatives = alternatives

    async def draw() -> list[list[State]]:
        jobs = (policy.complete(policy.start(p), count, key=i) for i, p in enumerate(PROBLEMS))
        return list(await asyncio.gather(*jobs))

    found: dict[Any, State] = {}
    for state in (state for group in asyncio.run(draw()) for state in group):
        found.setdefault((state.problem.id, state.token_ids), state)
    return tuple(found.values())
