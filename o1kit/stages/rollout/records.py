"""What a rollout writes down: chains, and the figures of the whole stage."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from o1kit.functional.voting import unified
from o1kit.report.tree import Origin
from o1kit.report.tree_schema import FORMAT
from o1kit.stages.rollout.data import Work
from o1kit.types import SearchResult, Trajectory, Usage


def chain_record(
    origin: Origin,
    work: Work,
    result: SearchResult,
    chain: Trajectory,
    correct: Mapping[str | None, bool | None],
    judged: bool,
) -> dict[str, Any]:
    """One finished chain as plain data (`ChainRecord`)."""
    voice = unified([*result.answers, chain.answer], work.problem.alike)[-1]
    return {
        "format": FORMAT,
        "recipe_hash": origin.recipe_hash,
        "problem": work.problem.id,
        "task": work.problem.task,
        "prompt": work.problem.prompt,
        "sample": work.sample,
        "text": chain.state.text,
        "steps": [action.text for action in chain.state.actions],
        "answer": chain.answer,
        "score": chain.score if judged else None,
        "step_scores": list(chain.step_scores),
        "visits": chain.visits,
        "prior": chain.prior,
        "correct": correct.get(chain.answer),
        "chosen": chain.answer is not None and voice in result.answers,
        "tokens": len(chain.state.token_ids) - len(chain.state.prompt_ids),
        "usage": asdict(result.usage),
    }


@dataclass
class Totals:
    """Sums over all searches so far."""

    searches: int = 0
    chains: int = 0
    right_chains: int = 0
    solved: float = 0.0
    usage: Usage = field(default_factory=Usage)
    found: dict[int, bool] = field(default_factory=dict)
    """Problems by number, with whether any of their chains is right."""
    stats: dict[str, list[float]] = field(default_factory=lambda: defaultdict(lambda: [0.0, 0.0]))
    """What searches tell about themselves: sum and count."""

    def add(self, work: Work, result: SearchResult, correct: Mapping[str | None, bool | None]) -> None:
        """One more search with the verdicts on its answers."""
        right = [correct.get(t.answer) is True for t in result.trajectories]
        self.searches += 1
        self.chains += len(right)
        self.right_chains += sum(right)
        self.solved += sum(correct.get(answer) is True for answer in result.answers) / len(result.answers)
        self.usage += result.usage
        self.found[work.number] = self.found.get(work.number, False) or any(right)
        for name, value in result.stats.items():
            self.stats[name][0] += value
            self.stats[name][1] += 1

    def summary(self, *, verified: bool, oracle: bool) -> dict[str, float]:
        """The figures by name. Those that look at the ground truth to choose among chains have `oracle` in theirs."""
        problems = max(len(self.found), 1)
        figures: dict[str, float] = {
            "problems": len(self.found),
            "searches": self.searches,
            "chains": self.chains,
            "tokens_per_problem": self.usage.generated / problems,
            "scored_per_problem": self.usage.scored / problems,
        }
        if verified:
            solved = self.solved / max(self.searches, 1)
            figures["oracle_search_solved" if oracle else "solved"] = solved
            figures["oracle_any_chain_right"] = sum(self.found.values()) / problems
            figures["chains_right"] = self.right_chains / max(self.chains, 1)
        return figures | {f"search/{name}": total / count for name, (total, count) in sorted(self.stats.items())}
