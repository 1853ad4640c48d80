"""How the engine's throughput changes with batch size, prefix length and number of problems.

`python -m benchmarks.engine_scaling runs/quickstart --plot benchmarks/engine_scaling.svg` prints three small tables and
draws them. The plot needs matplotlib: `pip install 'o1kit[bench]'`.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch

from benchmarks.engine import Quickstart, engine_tokens, search_all
from benchmarks.plotting import figure, save
from o1kit.engines.torch import TorchEngine
from o1kit.functional.noise import derive
from o1kit.protocols import Sampling
from o1kit.search.config import MctsConfig

BATCHES = (1, 4, 16, 64, 256)
PREFIXES = (16, 64, 128, 192)
PROBLEMS = (1, 4, 16, 64)
NEW_TOKENS = 32
Series = dict[str, dict[int, float]]


def best(repeats: int, work: Callable[[], int]) -> float:
    """The highest of several rates, in units a second."""
    rates = []
    for _ in range(repeats):
        started = time.perf_counter()
        rates.append(work() / (time.perf_counter() - started))
    return max(rates)


def by_batch(quick: Quickstart, repeats: int) -> Series:
    """Generated tokens a second; small batches get fewer prompts, so that each takes about as long."""
    found = {}
    for batch in BATCHES:
        engine = TorchEngine(quick.policy, quick.template.eos_id, max_batch=batch)
        prompts = quick.prompts(min(512, 32 * batch))
        found[batch] = best(repeats, lambda e=engine, p=prompts: engine_tokens(e, p, quick.policy.context_length))
    return {"generated tokens/s": found}


def by_prefix(quick: Quickstart, repeats: int) -> Series:
    """Generated tokens a second behind prefixes of a length, new to the engine and known to it; 128 at once."""
    generator = torch.Generator().manual_seed(0)
    found: Series = {"new prefix": {}, "cached prefix": {}}
    for length in PREFIXES:
        ids = torch.randint(quick.policy.vocabulary_size, (128, length), generator=generator).tolist()
        engine = TorchEngine(quick.policy, quick.template.eos_id)

        def generate(ids: list[list[int]] = ids, engine: TorchEngine = engine) -> int:
            async def go() -> int:
                how = [Sampling(derive(5, i), max_tokens=NEW_TOKENS) for i in range(len(ids))]
                groups = await asyncio.gather(*(engine.sample(p, 1, s) for p, s in zip(ids, how, strict=True)))
                return sum(len(c.token_ids) for (c,) in groups)

            return asyncio.run(go())

        def fresh(engine: TorchEngine = engine, generate: Callable[[], int] = generate) -> int:
            engine.refresh()
            return generate()

        found["new prefix"][length] = best(repeats, fresh)
        found["cached prefix"][length] = best(repeats, generate)
    return found


def by_problems(quick: Quickstart, repeats: int) -> Series:
    """Simulations a second of step-level MCTS, so many problems at once."""
    config = MctsConfig(kind="mcts", num_simulations=32, num_children=4)
    found = {}
    for count in PROBLEMS:

        def search(count: int = count) -> int:
            engines = TorchEngine(quick.policy, quick.template.eos_id), TorchEngine(quick.judge, quick.template.eos_id)
            search_all(quick, quick.problems[:count], engines, config, at_once=count)
            return count * config.num_simulations

        found[count] = best(repeats, search)
    return {"simulations/s": found}


def show(what: str, series: Mapping[str, Mapping[int, float]]) -> None:
    """A Markdown table: one line for each series."""
    first = next(iter(series.values()))
    print(f"\n| {what} | " + " | ".join(map(str, first)) + " |\n| --- |" + " --- |" * len(first))
    for name, values in series.items():
        print(f"| {name} | " + " | ".join(f"{value:,.0f}" for value in values.values()) + " |")


def draw(figures: Mapping[str, Series], path: Path) -> None:
    """One panel for each dependence, both axes logarithmic."""
    drawn = figure(10, 3.2)
    for axes, (what, series) in zip(drawn.subplots(1, len(figures)), figures.items(), strict=True):
        for name, values in series.items():
            axes.plot(list(values), list(values.values()), marker="o", label=name)
        ticks = list(next(iter(series.values())))
        axes.set(
            xlabel=what, xscale="log", ylim=(0, 1.1 * max(v for values in series.values() for v in values.values()))
        )
        axes.set_xticks(ticks, [str(t) for t in ticks], minor=False)
        axes.set_xticks([], minor=True)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    save(drawn, path)
    print(f"\ndrawn: {path}")


def main() -> None:
    parser = argparse.ArgumentParser(description="The rollout engine's throughput and what it depends on.")
    parser.add_argument("run", type=Path, nargs="?", default=Path("runs/quickstart"), help="folder of a finished run")
    parser.add_argument("--recipe-dir", type=Path, default=Path("recipes"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--plot", type=Path, help="where to draw (.svg or .png)")
    options = parser.parse_args()
    torch.set_flush_denormal(True)
    quick = Quickstart(options.run, options.recipe_dir)
    figures = {
        "sequences at once": by_batch(quick, options.repeats),
        "prefix length (tokens)": by_prefix(quick, options.repeats),
        "problems searched at once": by_problems(quick, options.repeats),
    }
    for what, series in figures.items():
        show(what, series)
    if options.plot is not None:
        draw(figures, options.plot)


if __name__ == "__main__":
    main()
