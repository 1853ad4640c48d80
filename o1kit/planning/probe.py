"""`probe`: measures on this machine, in some seconds, what the arithmetic of a plan needs. This module needs torch."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from random import Random
from typing import Any

import torch

from o1kit import registry
from o1kit.cpu import tune_process
from o1kit.decoding import Decoding
from o1kit.engines.policy import DELIMITER, PromptTemplate
from o1kit.models.config import HttpEngineConfig
from o1kit.models.load import add_lora
from o1kit.plan import Plan
from o1kit.planning.facts import Facts, in_process
from o1kit.planning.lengths import Lengths, guessed
from o1kit.planning.machine import Machine
from o1kit.planning.rates import ADAPTERS, Rates, formula
from o1kit.planning.weights import Weights
from o1kit.planning.work import TRAIN
from o1kit.protocols import Sampling, StageInputs
from o1kit.stages.optim import build_optimizer
from o1kit.stages.searching import build_engine
from o1kit.stages.sequences import Row
from o1kit.stages.sft.config import MistakesConfig, SftConfig
from o1kit.stages.sft.data import collate, draw_mistakes, encode_row, told
from o1kit.stages.start import starting_model, teacher_of
from o1kit.tasks.suite import Suite, build_suite

SAMPLED = 1500
"""Problems of a split whose prompts and chains are measured."""
QUANTILES = (0.15, 0.35, 0.5, 0.7, 0.9)
"""Training steps are timed on batches of rows of these lengths: batches of a run hold rows of like length."""
PATIENCE = 3.0
"""A step of more seconds is timed only once more."""
DRAWN = 24
"""Tokens that are drawn of each sequence."""
READ_ROWS = 64
BYTES_OF_A_TOKEN = 16
"""In a list of a row's tokens, with what is around it."""
OPERATIONS = 4e10
"""About so many multiplications are spent on drawing, so that a large model is measured with fewer sequences."""


@dataclass(frozen=True, slots=True)
class Timed:
    """A measurement: units done, and seconds."""

    units: float
    seconds: float


def probe(plan: Plan, directory: Path, machine: Machine, weights: Weights, say: Callable[[str], None]) -> Facts:
    """What was measured.

    Args:
        plan: whose stages decide what is imported and trained.
        directory: folder that the recipe's paths start from.
        machine: for what is not measured.
        weights: of the recipe's model.
        say: gets one line for each part.
    """
    started = time.perf_counter()
    _imports(plan)
    tune_process()
    imported = time.perf_counter() - started
    base = resident()
    say(f"probe: imports {imported:.1f} s, {base / 2**20:.0f} MiB")
    started = time.perf_counter()
    recipe = plan.recipe
    suite = build_suite(recipe.tasks, recipe.seed, directory, recipe.grading)
    count = sum(len(suite.problems(name)) for name in suite.splits)
    problems = time.perf_counter() - started
    grown = max(0, resident() - base)
    first = plan.stages[0]
    inputs = StageInputs(first.config, recipe, directory, directory, {}, first.seed, first.fingerprint)
    started = time.perf_counter()
    model, template = starting_model(inputs, None, suite)
    loaded = time.perf_counter() - started
    lengths, rows, encoded = _lengths(plan, suite, template, model.context_length, directory)
    say(f"probe: {count} problems {problems:.1f} s; rows of {sum(map(_length, rows)) / max(1, len(rows)):.0f} tokens")
    rates = replace(
        formula(weights, machine),
        grading=_grading(),
        start=imported + 2.0,
        stage=1.0 + 2 * loaded,
        problem=problems / max(1, count),
        row=encoded,
    )
    rates = _sampling(plan, model, template, rows, rates, weights.parameters)
    rates = _training(plan, model, rows, rates)
    say(f"probe: {1 / rates.trained:,.0f} tokens/s trained, {1 / rates.read:,.0f} read")
    each = grown / max(1, count) + BYTES_OF_A_TOKEN * max(x.row for x in lengths.values())
    return Facts(lengths, rates, base, each, model.vocabulary_size)


def resident() -> int:
    """Bytes of this process in memory now."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    return 0


def _imports(plan: Plan) -> None:
    """Everything that a run imports before its first step."""
    for name in ("o1kit.runner", "o1kit.trainer", "reasoning_gym"):
        import_module(name)
    for stage in plan.stages:
        registry.lookup("stages", stage.kind)
        if getattr(stage.config, "lora", None) is not None:
            import_module("peft")
    if plan.recipe.tracking.wandb.mode != "disabled":
        import_module("wandb")


def _grading() -> float:
    """Seconds until a process that grades answers is ready: it imports the scorers."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", "import o1kit.rewards.worker, reasoning_gym"], check=False, timeout=120)
    return time.perf_counter() - started


# ---- lengths ---------------------------------------------------------------------------------------------------------


def _lengths(
    plan: Plan, suite: Suite, template: PromptTemplate, context: int, directory: Path
) -> tuple[dict[str, Lengths], list[Row], float]:
    """Lengths of each split, training rows to measure with, and seconds a row."""
    stage = next((s.config for s in plan.stages if isinstance(s.config, SftConfig)), None)
    mistakes = stage.mistakes if stage is not None else MistakesConfig()
    otherwise = guessed(plan.recipe, context, directory)
    found: dict[str, Lengths] = {}
    rows: list[Row] = []
    began, made = time.perf_counter(), 0
    for name in suite.splits:
        own = _rows(suite, name, template, context, mistakes)
        made += len(own)
        rows = own if name == TRAIN or not rows else rows
        found[name] = _measured(own, template, otherwise[name])
    return found, rows, (time.perf_counter() - began) / max(1, made)


def _rows(suite: Suite, split: str, template: PromptTemplate, context: int, mistakes: MistakesConfig) -> list[Row]:
    """Taught rows of a split's first problems; those that do not fit, or that nobody teaches, have a prompt only."""
    rng, rows = Random(0), []
    teachers: dict[str, Any] = {}
    for problem in suite.problems(split)[:SAMPLED]:
        truth, name = suite.truth(problem), suite.teacher_of(problem)
        if name is None:
            thought = truth.payload.get("thought") or ()
            steps = told(thought, truth.answer) if isinstance(thought, list | tuple) and thought else []
        else:
            teachers.setdefault(name, teacher_of(name))
            steps = teachers[name].trace(truth, problem.prompt, draw_mistakes(mistakes, rng), rng.randrange(2**31))
        if steps:
            rows.append(encode_row(template, problem, steps, 2**31))
        else:
            prompt = template.prompt(problem)
            rows.append(Row(prompt, len(prompt)))
    return [Row(row.token_ids[:context], row.prompt_length) for row in rows]


def _measured(rows: Sequence[Row], template: PromptTemplate, otherwise: Lengths) -> Lengths:
    prompts = [row.prompt_length for row in rows]
    taught = [row for row in rows if _length(row) > row.prompt_length]
    chains = [_length(row) - row.prompt_length for row in taught]
    if not rows:
        return otherwise
    prompt, longest = sum(prompts) / len(prompts), max(prompts)
    if not chains:
        return replace(otherwise, prompt=prompt, prompt_max=longest)
    breaks = [template.decode(row.token_ids[row.prompt_length :]).count(DELIMITER) + 1 for row in taught]
    return Lengths(prompt, longest, sum(chains) / len(chains), max(chains), sum(breaks) / len(breaks))


def _length(row: Row) -> int:
    return len(row.token_ids)


# ---- drawing and reading ---------------------------------------------------------------------------------------------


def _sampling(
    plan: Plan, model: Any, template: PromptTemplate, rows: Sequence[Row], rates: Rates, parameters: int
) -> Rates:
    """Rates of drawing and reading, from one run with many sequences and one with few."""
    recipe = plan.recipe
    engine = build_engine(model.eval(), template, in_process(recipe))
    most = int(min(in_process(recipe).max_batch, max(8.0, OPERATIONS / DRAWN / parameters)))
    prompts = [row.token_ids[: row.prompt_length] for row in rows] or [[template.eos_id]]
    few = max(1, most // 8)
    if not isinstance(recipe.engine, HttpEngineConfig):
        asyncio.run(_draw(engine, prompts, 2))
        many_done, few_done = (asyncio.run(_draw(engine, prompts, n)) for n in (most, few))
        # Both had the same number of passes: what more sequences took longer is by their tokens.
        each = max(0.0, (many_done.seconds - few_done.seconds) / max(1.0, many_done.units - few_done.units))
        rates = replace(rates, drawn=each, drawing=max(0.0, few_done.seconds - each * few_done.units) / DRAWN)
    head = model.head is None
    if head:
        model.add_head()
    read = [list(row.token_ids) for row in rows[: max(4, min(READ_ROWS, most // 2))]]
    seconds = min(asyncio.run(_score(engine, read)) for _ in range(2))
    if head:
        model.head = None
    each = seconds / max(1, sum(map(len, read)))
    # Every sequence that was drawn had a prompt to read first, which is counted on its own.
    prompt = sum(map(len, prompts)) / len(prompts)
    return replace(rates, read=each, drawn=max(0.0, rates.drawn - each * prompt / DRAWN))


async def _draw(engine: Any, prompts: Sequence[Sequence[int]], n: int) -> Timed:
    """Draws `DRAWN` tokens of each of n sequences: prompts that nothing is cached of."""
    engine.refresh()
    started = time.perf_counter()
    chosen = [prompts[i % len(prompts)] for i in range(n)]
    work = (engine.sample(p, 1, Sampling(i, Decoding(), DRAWN)) for i, p in enumerate(chosen))
    done = await asyncio.gather(*work)
    return Timed(sum(len(c.token_ids) for found in done for c in found), time.perf_counter() - started)


async def _score(engine: Any, rows: Sequence[Sequence[int]]) -> float:
    engine.refresh()
    started = time.perf_counter()
    await asyncio.gather(*(engine.score(row, [len(row) - 1, len(row) - 2]) for row in rows if len(row) > 2))
    return time.perf_counter() - started


# ---- training --------------------------------------------------------------------------------------------------------


def _training(plan: Plan, model: Any, rows: Sequence[Row], rates: Rates) -> Rates:
    """Rates of training steps, as the first stage that trains takes them."""
    stage = next((s.config for s in plan.stages if getattr(s.config, "optimizer", None) is not None), None)
    usable = sorted((row for row in rows if _length(row) > row.prompt_length), key=_length)
    if stage is None or not usable:
        return rates
    if stage.lora is not None:
        add_lora(model, stage.lora)
    optimizer = build_optimizer(model, stage.optimizer, 100)["optimizer"]
    size = stage.batch_size
    model.train()
    warm = _step(model, optimizer, _around(usable, 0.5, size), stage.optimizer.grad_clip)
    shares = QUANTILES if warm.seconds < PATIENCE else (0.5,)
    timed = [_step(model, optimizer, _around(usable, q, size), stage.optimizer.grad_clip) for q in shares]
    small = _step(model, optimizer, _around(usable, 0.5, max(1, size // 4)), stage.optimizer.grad_clip)
    each, fixed = _line([*timed, small])
    if each <= 0:
        each, fixed = sum(t.seconds for t in timed) / max(1.0, sum(t.units for t in timed)), 0.0
    adapted = ADAPTERS if stage.lora is not None else 1.0
    return replace(rates, trained=each / adapted, step=fixed)


def _around(rows: Sequence[Row], quantile: float, size: int) -> list[Row]:
    """Rows of about the length that this share of all rows is shorter than."""
    first = max(0, min(len(rows) - size, round(quantile * len(rows)) - size // 2))
    found = list(rows[first : first + size])
    return [found[i % len(found)] for i in range(size)]


def _step(model: Any, optimizer: Any, rows: Sequence[Row], clip: float) -> Timed:
    """One optimizer step of next-token training."""
    started = time.perf_counter()
    token_ids, mask = collate(rows)
    hidden = model.hidden(token_ids[:, :-1], use_cache=False)[mask[:, 1:]]
    loss = torch.nn.functional.cross_entropy(model.logits(hidden), token_ids[:, 1:][mask[:, 1:]])
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
    optimizer.step()
    optimizer.zero_grad()
    return Timed(sum(map(_length, rows)), time.perf_counter() - started)


def _line(timed: Sequence[Timed]) -> tuple[float, float]:
    """Slope and intercept, neither below zero, of seconds over units by least squares."""
    n = len(timed)
    mean_x, mean_y = sum(t.units for t in timed) / n, sum(t.seconds for t in timed) / n
    spread = sum((t.units - mean_x) ** 2 for t in timed)
    slope = sum((t.units - mean_x) * (t.seconds - mean_y) for t in timed) / spread if spread else 0.0
    if slope <= 0 or mean_y - slope * mean_x < 0:
        return mean_y / mean_x, 0.0
    return slope, mean_y - slope * mean_x
