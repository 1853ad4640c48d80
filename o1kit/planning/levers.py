"""What to change when a recipe does not fit: single `--set` texts, each planned anew, with what it would save."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

from o1kit.models.config import HfModelConfig, HttpEngineConfig, ScratchModelConfig
from o1kit.planning.estimate import Estimate
from o1kit.planning.facts import in_process
from o1kit.recipe.schema import Recipe

SHOWN = 3
LEAST_MB = 64
LEAST_CONTEXT = 128
WORTH = 0.03
"""A change that saves a smaller share than this of what is short is not worth telling."""
REPLANS, FEWEST, STAGES = 60, 4, 400
"""A search for changes plans at most this often, and less often the more stages there are, so that all plans together
hold no more stages than the last number: but at least the second."""
AT_ONCE = 16
"""With more options than this, several at a time are tried whether they can be left out."""
Replan = Callable[[Sequence[str]], Estimate | None]


class _Bounded:
    """Plans anew no more often than is allowed, and says None from then on."""

    def __init__(self, replan: Replan, stages: int) -> None:
        self.replan, self.left = replan, max(FEWEST, min(REPLANS, STAGES // max(1, stages)))

    def __call__(self, changes: Sequence[str]) -> Estimate | None:
        if self.left <= 0:
            return None
        self.left -= 1
        return self.replan(changes)


@dataclass(frozen=True, slots=True)
class Lever:
    """One change, and what it leads to."""

    change: str
    """As in `--set`."""
    price: str
    """What it costs, in words."""
    fits: bool
    peak: float
    """Bytes."""
    disk: float
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Together:
    """Several changes at once, and what they lead to."""

    changes: tuple[str, ...]
    fits: bool
    peak: float
    """Bytes."""
    disk: float
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Remedy:
    """What would help where something does not fit: nothing is here where all fits."""

    levers: tuple[Lever, ...] = ()
    together: Together | None = None
    """Where no single change is enough."""


def remedy_for(recipe: Recipe, before: Estimate, replan: Replan) -> Remedy:
    """What would help; see `levers`."""
    if not before.short:
        return Remedy()
    found = tuple(levers(recipe, before, replan))
    enough = any(lever.fits for lever in found)
    return Remedy(found, None if enough else together(recipe, before, replan))


def levers(recipe: Recipe, before: Estimate, replan: Replan) -> list[Lever]:
    """The cheapest changes that help, at most three: first those that are enough, then those that save most.

    `replan` plans the recipe with further `--set` texts; it may say None where that is no valid recipe.
    """
    again, short = _Bounded(replan, len(recipe.stages)), _excess(before)
    enough: list[Lever] = []
    others: list[tuple[float, Lever]] = []
    seen: set[str] = set()
    for change, price in _candidates(recipe, before):
        if len(_different(enough)) == SHOWN:
            break  # the cheapest come first
        after = again([change]) if change not in seen else None
        seen.add(change)
        left = short if after is None else _excess(after)
        if after is None or left >= short:
            continue
        lever = Lever(change, price, not after.short, after.peak, after.disk, after.seconds)
        if lever.fits:
            enough.append(lever)
        elif left <= (1 - WORTH) * short:
            others.append((left, lever))
    others.sort(key=lambda other: other[0])
    return _different([*enough, *(lever for _, lever in others)])[:SHOWN]


def together(recipe: Recipe, before: Estimate, replan: Replan) -> Together | None:
    """The changes at once that make it fit, no more of them than it takes; where nothing does, all that there are.

    None where not one of them can be made. Of very many, some may be left in that it could do without.
    """
    options: dict[str, list[str]] = {}
    for change, _ in _candidates(recipe, before):
        options.setdefault(change.partition("=")[0], []).append(change)
    again = _Bounded(replan, len(recipe.stages))
    taken: dict[str, str] = {}
    # Each as far as it goes; the largest change comes last.
    best = _most({option: changes[-1] for option, changes in options.items()}, taken, again) or before
    if not best.short:
        best = _without_groups(taken, again) or best
        for option in [option for option in reversed(taken) if taken[option]]:  # the cheapest come first, so they stay
            best = _less(taken, option, options[option], again) or best
    if not taken:
        return None
    return Together(tuple(c for c in taken.values() if c), not best.short, best.peak, best.disk, best.seconds)


def _most(wanted: dict[str, str], taken: dict[str, str], replan: Replan) -> Estimate | None:
    """Takes all changes that make a valid recipe together; what they lead to."""
    after = replan([*taken.values(), *wanted.values()]) if wanted else None
    if after is not None:
        taken |= wanted
        return after
    if len(wanted) < 2:
        return None
    names, half = list(wanted), len(wanted) // 2
    first = _most({name: wanted[name] for name in names[:half]}, taken, replan)
    return _most({name: wanted[name] for name in names[half:]}, taken, replan) or first


def _without_groups(taken: dict[str, str], replan: Replan) -> Estimate | None:
    """Leaves out many options at a time, where it fits all the same; what that leads to."""
    best, size = None, len(taken) // 2
    while len(taken) > AT_ONCE and size > 1:
        names = [option for option, change in taken.items() if change]
        for end in range(len(names), 0, -size):
            group = dict.fromkeys(names[max(0, end - size) : end], "")
            after = replan([c for c in (taken | group).values() if c])
            if after is not None and not after.short:
                taken |= group
                best = after
        size //= 2
    return best


def _less(taken: dict[str, str], option: str, changes: Sequence[str], replan: Replan) -> Estimate | None:
    """Leaves an option alone, or changes it less, if it fits all the same; what that leads to."""
    for change in ("", *changes[: changes.index(taken[option])]):
        tried = taken | {option: change}
        after = replan([c for c in tried.values() if c])
        if after is not None and not after.short:
            taken[option] = change
            return after
    return None


def _different(found: Sequence[Lever]) -> list[Lever]:
    """One lever for each option: the smallest change of it that comes first."""
    by_option: dict[str, Lever] = {}
    for lever in found:
        by_option.setdefault(lever.change.partition("=")[0], lever)
    return list(by_option.values())


def _excess(found: Estimate) -> float:
    """How much is missing, summed over what is short, each as a share of what there is."""
    m = found.machine
    host = found.peak - (found.device_peak if m.gpu_memory else 0.0)
    pairs = [(host, m.memory), (found.disk, m.disk), (found.device_peak, m.gpu_memory)]
    return sum(max(0.0, need / have - 1) for need, have in pairs if have)


def _candidates(recipe: Recipe, before: Estimate) -> Iterator[tuple[str, str]]:
    """Changes and their prices: those that cost time only come first, those that change what is learned last."""
    engine = in_process(recipe)
    place = "engine.local" if isinstance(recipe.engine, HttpEngineConfig) else "engine"
    for part in (2, 4, 8):
        if engine.memory_mb // part >= LEAST_MB:
            yield f"{place}.memory_mb={engine.memory_mb // part}", "fewer chains at once: slower"
        if engine.max_batch // part >= 1:
            yield f"{place}.max_batch={engine.max_batch // part}", "fewer chains at once: slower"
    if isinstance(recipe.model, HfModelConfig) and recipe.model.dtype == "float32":
        yield "model.dtype=bfloat16", "fewer digits; slow on CPUs without bfloat16"
    peaks = {s.stage: s.memory.total for s in before.stages if s.memory is not None}
    largest = sorted(recipe.stages, key=lambda stage: -peaks.get(stage.name, 0.0))
    for part in (2, 4, 8):
        for stage in largest:
            yield from _smaller(stage, part)
    for stage in largest:
        if getattr(stage, "optimizer", None) is not None and stage.lora is None:  # type: ignore[union-attr]
            yield f"stages.{stage.name}.lora={{rank: 16}}", "adapters are trained, not all weights"
    context = max((s.work.prefixes for s in before.stages if s.work is not None), default=0.0)
    if isinstance(recipe.model, HfModelConfig) and (recipe.model.context_length or 0) >= 2 * LEAST_CONTEXT and context:
        yield f"model.context_length={(recipe.model.context_length or 0) // 2}", "longer chains are cut off"
    for name, split in recipe.tasks.items():
        yield f"tasks.{name}.num_problems={max(1, split.num_problems // 2)}", "fewer problems"
    if isinstance(recipe.model, ScratchModelConfig):
        for part in (2, 4):
            yield from _smaller_model(recipe.model, part)


def _smaller_model(model: ScratchModelConfig, part: int) -> Iterator[tuple[str, str]]:
    """Fewer layers, and a width that the heads divide into even parts."""
    if model.num_layers // part >= 1:
        yield f"model.num_layers={model.num_layers // part}", "a smaller model, which learns less"
    width = model.hidden_size // part // (2 * model.num_heads) * 2 * model.num_heads
    if width:
        yield f"model.hidden_size={width}", "a smaller model, which learns less"


def _smaller(stage: Any, part: int) -> Iterator[tuple[str, str]]:
    """Smaller numbers of one stage."""
    prices = {
        "batch_size": "noisier steps",
        "problems_per_iteration": "fewer chains a round",
        "labels.num_problems": "fewer labels",
        "labels.chains": "fewer labels of a problem",
        "source.num_problems": "fewer labels",
        "source.chains": "fewer labels of a problem",
        "seeds": "wider intervals",
    }
    for name, price in prices.items():
        value = reduce(lambda part, key: getattr(part, key, None), name.split("."), stage)
        if isinstance(value, int) and value // part >= 1:
            yield f"stages.{stage.name}.{name}={value // part}", price
    for i, search in enumerate(getattr(stage, "searches", ())):
        samples = getattr(search, "num_samples", None)
        if isinstance(samples, int) and samples // part >= 2:
            yield f"stages.{stage.name}.searches[{i}].num_samples={samples // part}", "fewer samples"
