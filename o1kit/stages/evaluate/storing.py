"""`Book`: every answer of an evaluation with its verdict; chains that searches share are kept once."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import NamedTuple

from o1kit.functional.degeneration import Chain, Degeneration, degeneration
from o1kit.report.output_schema import ChainLine, HeaderLine, Outcome, OutputLine, ProblemLine
from o1kit.report.outputs import write_outputs
from o1kit.types import Problem, Score, SearchResult, Trajectory


class Cell(NamedTuple):
    """One policy with one search on one split: a row of the table, or several."""

    policy: str
    search: str
    split: str
    place: int = 0
    """Number of the search in the recipe's list."""
    oracle: bool = False
    decides: bool = True
    """True for a search that gives one answer, false for plain samples."""


class Book:
    """Collects outputs while searches run."""

    def __init__(self) -> None:
        self.problems: dict[str, ProblemLine] = {}
        self.chains: dict[str, ChainLine] = {}
        self.lines: list[OutputLine] = []
        self._degenerate: dict[str, Degeneration] = {}

    def lines_of(
        self,
        cell: Cell,
        seed: int,
        keys: Sequence[int],
        problems: Sequence[Problem],
        results: Sequence[SearchResult],
        verdicts: Sequence[Sequence[Score]],
    ) -> list[OutputLine]:
        """What one search found with one seed, one line a problem, in order; its problems and chains are noted."""
        found = []
        for key, problem, result, scores in zip(keys, problems, results, verdicts, strict=True):
            self.problems.setdefault(
                problem.id, ProblemLine(id=problem.id, split=cell.split, task=problem.task, prompt=problem.prompt)
            )
            found.append(self._line(cell, seed, key, problem, result, scores))
        return found

    def degeneration(self, lines: Sequence[OutputLine]) -> dict[str, float]:
        """How the chains of some outputs went wrong, shares of all chains; nothing without chains."""
        found = [self._degenerate[name] for line in lines for name in line.chains]
        if not found:
            return {}
        return {name: sum(getattr(d, name) for d in found) / len(found) for name in Degeneration._fields}

    def write(self, path: Path, header: HeaderLine) -> None:
        """Writes everything."""
        write_outputs(path, header, self.problems.values(), self.chains.values(), self.lines)

    def _line(
        self, cell: Cell, seed: int, key: int, problem: Problem, result: SearchResult, scores: Sequence[Score]
    ) -> OutputLine:
        judged = any(t.score != 1 for t in result.trajectories)
        return OutputLine(
            policy=cell.policy,
            search=cell.search,
            split=cell.split,
            place=cell.place,
            seed=seed,
            key=key,
            problem=problem.id,
            chains=[self._chain(problem, t) for t in result.trajectories],
            scores=[t.score if math.isfinite(t.score) else None for t in result.trajectories] if judged else [],
            answers=list(result.answers),
            chosen=result.answers[0] if cell.decides and result.answers else None,
            outcomes=[_outcome(score) for score in scores],
            marks=[score.value for score in scores],
            generated=result.usage.generated,
            scored=result.usage.scored,
            stats=_finite(result.stats),
            oracle=cell.oracle,
        )

    def _chain(self, problem: Problem, trajectory: Trajectory) -> str:
        """The id of a chain, which is kept if it is new."""
        state = trajectory.state
        tokens = [t for action in state.actions for t in action.completion.token_ids]
        finish = state.actions[-1].completion.finish if state.actions else "step"
        hashed = blake2b(f"{problem.id}\n{finish}\n".encode(), digest_size=8)
        hashed.update(array("i", tokens).tobytes())
        name = hashed.hexdigest()
        if name not in self.chains:
            text, answer = state.text, trajectory.answer
            self.chains[name] = ChainLine(
                id=name, problem=problem.id, text=text, answer=answer, tokens=len(tokens), finish=finish
            )
            self._degenerate[name] = degeneration([Chain(tokens, text, finish, answer)])
        return name


def _outcome(score: Score) -> Outcome:
    if score.outcome == "ok":
        return "right" if score.value == 1 else "wrong"
    return score.outcome


def _finite(stats: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in stats.items() if math.isfinite(value)}
