"""What every engine must keep to."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import torch

from o1kit.decoding import Decoding
from o1kit.errors import DataError
from o1kit.functional.keys import derive
from o1kit.models.language_model import LanguageModel
from o1kit.protocols import Engine, Sampling
from o1kit.stages.searching import build_engine
from o1kit.testing.check import check
from o1kit.testing.lab import CONTEXT, PROBLEMS, model, reward_model, template
from o1kit.testing.options import OPTIONS
from o1kit.testing.running import GRACE, LIMIT_S, run
from o1kit.testing.subject import Subject
from o1kit.types import Account, Completion, Usage

SEED, SAMPLES, MOST = 9, 3, 20
TOLERANCE = 1e-3
"""Log-probabilities (nats) may differ from a plain forward pass by so much."""


def built(subject: Subject, made: LanguageModel | None = None, **options: Any) -> Engine:
    """The engine over the kit's model, with some options of the section changed where it has them."""
    config: Any = subject.config
    known = {name: value for name, value in options.items() if name in type(config).model_fields}
    return build_engine(made or model(), template(), config.model_copy(update=known))


def prompts() -> list[tuple[int, ...]]:
    """Prompts of different lengths."""
    spelled = [tuple(template().prompt(problem)) for problem in PROBLEMS]
    return [spelled[0], spelled[1] + spelled[2], spelled[3][:3], spelled[4]]


async def _sampled(
    engine: Engine, order: Sequence[int], decoding: Decoding = Decoding(), n: int = SAMPLES, first: int = 0
) -> dict[int, list[Completion]]:
    jobs = [
        engine.sample(prompts()[i], n, Sampling(derive(SEED, i), decoding, MOST, first=first), Account(f"p{i}"))
        for i in order
    ]
    return dict(zip(order, await asyncio.gather(*jobs), strict=True))


def sampled(engine: Engine, order: Sequence[int] = (0, 1, 2, 3), **options: Any) -> dict[int, list[Completion]]:
    """Samples of the prompts, asked for at the same time in the given order."""
    return run(_sampled(engine, order, **options))


def unlike(first: dict[int, list[Completion]], second: dict[int, list[Completion]], when: str) -> str | None:
    """What tells two sets of samples apart."""
    for i, group in second.items():
        for one, other in zip(first[i], group):
            if (one.token_ids, one.finish) != (other.token_ids, other.finish):
                return f"{when}, a sample is {other.token_ids} ({other.finish}) and not {one.token_ids} ({one.finish})"
    return None


@torch.no_grad()
def _forward(tokens: Sequence[int]) -> Any:
    """Log-probabilities [T - 1, V] of plain transformers."""
    return torch.log_softmax(model().lm(torch.tensor([tokens])).logits[0, :-1].float(), -1)


@check(
    why="PPO's ratios and every confidence are made of these numbers",
    fix="report log_softmax of the untempered, untruncated logits in float32, one number for each token",
)
def logprobs(subject: Subject) -> str | None:
    """Log-probabilities are those of a plain forward pass of transformers, whatever the temperature."""
    for decoding in (Decoding(), Decoding(0.5, top_k=5), Decoding(greedy=True)):
        for i, group in sampled(built(subject), decoding=decoding).items():
            for completion in group:
                tokens = [*prompts()[i], *completion.token_ids]
                table = _forward(tokens)[len(prompts()[i]) - 1 :]
                expected = [float(row[token]) for row, token in zip(table, completion.token_ids)]
                if len(completion.logprobs) != len(expected):
                    return f"a sample of {len(expected)} tokens has {len(completion.logprobs)} log-probabilities"
                worst = max((abs(a - b) for a, b in zip(expected, completion.logprobs)), default=0.0)
                if worst > TOLERANCE:
                    return f"with {decoding} a log-probability is off by {worst:.3g} nats"
    return None


@check(
    why="greedy results must be those of the model, and alternatives are what judges read",
    fix="take the argmax of the logits, and the largest log-probabilities in falling order",
)
def greedy(subject: Subject) -> str | None:
    """Greedy tokens are the likeliest, and alternatives the likeliest ones in order."""
    for i, (completion,) in sampled(built(subject), decoding=Decoding(greedy=True, alternatives=3), n=1).items():
        best = _forward([*prompts()[i], *completion.token_ids])[len(prompts()[i]) - 1 :].topk(3)
        if list(completion.token_ids) != best.indices[:, 0].tolist():
            return f"greedy tokens are {completion.token_ids}, the likeliest ones {best.indices[:, 0].tolist()}"
        told = [[token for token, _ in some] for some in completion.alternatives]
        if told != best.indices.tolist():
            return f"the three likeliest tokens are given as {told}, and are {best.indices.tolist()}"
    return None


@check(
    why="a run must give the same numbers again, whatever was sampled with it",
    fix="make the noise of sample i at position t from (key, i, t) alone, not from a shared generator",
)
def function_of_the_key(subject: Subject) -> str | None:
    """A sample depends on its key and index only: not on other requests, their order, or how many samples there are."""
    first = sampled(built(subject))
    one = built(subject)
    found = unlike(first, sampled(one, (3, 2, 1, 0)), "asked for in another order")
    found = found or unlike(first, sampled(one, (1,)), "asked for alone, the second time")
    rest = {i: group[1:] for i, group in first.items()}
    found = found or unlike(rest, sampled(built(subject), n=SAMPLES - 1, first=1), "as the last ones (`first`)")
    other = run(built(subject).sample(prompts()[0], SAMPLES, Sampling(derive(SEED, 99), max_tokens=MOST)))
    if [c.token_ids for c in other] == [c.token_ids for c in first[0]]:
        return "another key gives the same samples"
    return found


@check(
    why="results must not depend on how much memory the machine has",
    fix="use no state of a batch: neither its noise nor its padding may reach another sequence",
)
def any_batch_size(subject: Subject) -> str | None:
    """Sequences come out the same one at a time and 64 at a time."""
    first, second = (sampled(built(subject, max_batch=size)) for size in (1, 64))
    return unlike(first, second, "with max_batch 64 in place of 1")


@check(
    why="searches act on why a sample ended",
    fix="`step` at a stop token, `answer` at end-of-text, `length` at max_tokens, `context` where there is no room",
)
def endings(subject: Subject) -> str | None:
    """Samples end where they should, and say why."""
    engine, spelling = built(subject), template()
    for group in sampled(engine).values():
        for completion in group:
            last, length = completion.token_ids[-1], len(completion.token_ids)
            right = "answer" if last == spelling.eos_id else "length" if length == MOST else None
            if completion.finish != right:
                return f"a sample of {length} tokens (of {MOST}) ended with {completion.finish!r}, not {right!r}"
    stopping = Sampling(SEED, Decoding(greedy=True), MOST, stop_ids=spelling.step_ids)
    (step,) = run(engine.sample(prompts()[0], 1, stopping))
    if step.finish == "step" and step.token_ids[-1] not in spelling.step_ids:
        return "a sample that ended with `step` does not end with a stop token"
    if any(token in spelling.step_ids for token in step.token_ids[:-1]):
        return "a sample went on after a stop token"
    full = (prompts()[0] * CONTEXT)[: CONTEXT - 2]
    (last_one,) = run(engine.sample(full, 1, Sampling(SEED, max_tokens=MOST)))
    if last_one.finish not in ("context", "answer") or len(last_one.token_ids) > 2:
        return f"with room for 2 tokens a sample has {len(last_one.token_ids)} and ended with {last_one.finish!r}"
    return None


@check(
    why="every budget and every comparison at equal cost rests on the ledger",
    fix="charge each request's account once: prompt tokens computed, prompt tokens from a cache, generated, scored",
)
def ledger(subject: Subject) -> str | None:
    """What is charged is what was sampled, to whom it was sampled for."""
    engine = built(subject)
    for i, group in sampled(engine).items():
        spent = sum(engine.ledger.of_problem(f"p{i}").values(), Usage())
        made = sum(len(completion.token_ids) for completion in group)
        if spent.generated != made:
            return f"{made} tokens were generated for a problem, and {spent.generated} charged to it"
        if spent.prompt + spent.cached < len(prompts()[i]):
            return f"a prompt of {len(prompts()[i])} tokens was charged as {spent.prompt} and {spent.cached} cached"
    return None


@check(
    why="reward models and value heads are read through the engine",
    fix="return the head's raw output at the positions themselves, untouched by what is cached",
)
def score(subject: Subject) -> str | None:
    """Scores are the head's outputs of a plain forward pass."""
    engine, tokens = built(subject, reward_model()), prompts()[1]
    with torch.no_grad():
        expected = reward_model()(torch.tensor([tokens])).head[0]
    for positions in ([len(tokens) - 1], [0, 4, len(tokens) - 1]):
        found = run(engine.score(tokens, positions))
        worst = max(abs(a - float(expected[p])) for a, p in zip(found, positions, strict=True))
        if worst > TOLERANCE:
            return f"a score is off by {worst:.3g}"
    return None


@check(
    why="Ctrl-C and failing stages cancel requests; those of others must go on",
    fix="drop what nobody waits for, keep the rest, and be ready for the next request",
)
def cancellation(subject: Subject) -> str | None:
    """Cancelled requests end at once; others, and later ones, are not touched."""
    expected = sampled(built(subject))

    async def cut(turns: int) -> str | None:
        engine = built(subject)
        lost = [asyncio.ensure_future(engine.sample(prompts()[0], 8, Sampling(i, max_tokens=200))) for i in range(4)]
        kept = asyncio.ensure_future(_sampled(engine, (1, 2)))
        for _ in range(turns):
            await asyncio.sleep(0)
        for task in lost:
            task.cancel()
        for _ in range(GRACE):
            await asyncio.sleep(0)
        if not all(task.done() for task in lost):
            return "a cancelled request does not end"
        found = unlike(expected, await asyncio.wait_for(kept, LIMIT_S), "after others were cancelled")
        return found or unlike(expected, await _sampled(engine, (0, 3)), "asked for after others were cancelled")

    for turns in (1, 8, 25):
        found = run(cut(turns))
        if found is not None:
            return f"after {turns} turns of the event loop: {found}"
    return None


@check(
    why="bad data must end with a message, not with a crash or with nonsense",
    fix="check prompts before computing: raise DataError for empty, unknown and too long ones",
)
def bad_input(subject: Subject) -> str | None:
    """Empty prompts, unknown tokens and what does not fit the context are refused; the engine goes on."""
    engine = built(subject)
    for told, prompt in (
        ("an empty prompt", ()),
        ("an unknown token", (1, 10_000_000)),
        ("a negative token", (1, -1)),
        ("a prompt as long as the context", (5,) * CONTEXT),
    ):
        try:
            run(engine.sample(prompt, 1, Sampling(1, max_tokens=2)))
        except DataError:
            continue
        return f"{told} is taken"
    return unlike(sampled(built(subject)), sampled(engine), "after bad requests")


CHECKS = (
    logprobs,
    greedy,
    function_of_the_key,
    any_batch_size,
    endings,
    ledger,
    score,
    cancellation,
    bad_input,
    *OPTIONS,
)
