"""`EvaluateModule`: runs the recipe's searches and measures them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import lightning as L

from o1kit import registry
from o1kit.functional.noise import derive
from o1kit.functional.statistics import bootstrap_interval
from o1kit.protocols import Decoding, StageInputs
from o1kit.report.results import Answer, ResultRow
from o1kit.report.tree import tree_record
from o1kit.rewards.judges import own_judge
from o1kit.rewards.verifier import Verifier, verifier_of
from o1kit.search.config import SearchConfig
from o1kit.search.journal import Journal
from o1kit.search.journaled import JournaledPolicy
from o1kit.search.tolerance import Tolerance
from o1kit.stages.evaluate.config import EvaluateConfig
from o1kit.stages.evaluate.shared import SharedSamples, SharedScores
from o1kit.stages.models import Models
from o1kit.stages.searching import guarded, journals_of, label, mean_stats, origin_of, run_all
from o1kit.tasks.suite import Suite
from o1kit.types import Problem, SearchResult, Usage

NUM_TREES = 3
"""Search trees of each policy and split that are kept for the report."""


class EvaluateModule(L.LightningModule):
    """Fills `rows`, `trees` and `asked`; nothing is trained."""

    def __init__(self, inputs: StageInputs, suite: Suite) -> None:
        super().__init__()
        self.inputs, self.suite = inputs, suite
        self.config: EvaluateConfig = inputs.config
        self.rows: list[ResultRow] = []
        self.trees: list[dict[str, Any]] = []
        self.asked: list[Answer] = []
        self._verifier = verifier_of(suite)
        self.models = Models(inputs, suite, lambda: self.device)
        self.models.serve(self.config.policies[0], self.config.searches)
        self.tolerance = Tolerance(self.config.max_failed_judgements)
        self.journals = journals_of(inputs)

    def test_step(self, pair: tuple[str, str], batch_idx: int) -> None:
        """Evaluates one policy on one split with every search."""
        name, split = pair
        titles = [label(config) for config in self.config.searches]
        with self.journals.open(f"{batch_idx:05d}", policy=name, split=split, search=titles) as journal:
            self._evaluate(name, split, journal)
            pairs = len(self.config.policies) * len(self.config.splits)
            self.tolerance.check(end=batch_idx + 1 == pairs)
        self.tolerance.forget()
        order = [name for c in self.config.searches for name in (label(c), c.bound)]
        self.rows.sort(key=lambda r: (self.config.policies.index(r.policy), order.index(r.search)))

    def _evaluate(self, name: str, split: str, journal: Journal) -> None:
        policy, prm = self.models.policy(name), self.models.prm(self.config.judge)
        shared = SharedSamples(JournaledPolicy(policy, journal))
        scores = SharedScores(guarded(prm, journal, self.tolerance, "prm")) if prm is not None else None
        problems = self.suite.problems(split)
        engines = {"policy": policy.engine} | ({"prm": prm.engine} if prm is not None else {})
        for config in sorted(self.config.searches, key=lambda c: -getattr(c, "num_samples", 0)):
            search: Any = registry.lookup("searches", config.kind)(config)
            own = own_judge(config, policy.engine)
            judge = scores if own is None else guarded(own, journal, self.tolerance, str(config.judge))
            more = {"oracle": Verifier(self.suite, self._verifier.pool, policy.answer)} if config.oracle else {}
            run = partial(search.run, policy=shared, reward=judge, **more)

            async def work(index: int, problem: Problem, run: Any = run) -> SearchResult:
                result: SearchResult = await run(shared.start(problem), key=derive(self.inputs.seed, index))
                return result

            results = run_all(problems, work, label=f"{name} {split} {label(config)}")
            rows = len(self.rows)
            self._measure(name, split, config, problems, results)
            spent = {who: engine.ledger.take().per_problem(len(problems)) for who, engine in engines.items()}
            for other in config.models:
                spent[f"model {other}"] = self.models.other(other).engine.ledger.take().per_problem(len(problems))
            self.rows[rows:] = [
                replace(row, extra={**row.extra, "computed_per_problem": spent}) for row in self.rows[rows:]
            ]

    def _measure(
        self, policy: str, split: str, config: SearchConfig, problems: Sequence[Problem], results: list[SearchResult]
    ) -> None:
        marks = self.marks(problems, results)
        samples = len(marks[0])
        means = [sum(m) / len(m) for m in marks]
        self._add_row(policy, split, label(config), problems, results, means, 1 / samples, oracle=config.oracle)
        if config.bound is not None:
            solved = [float(any(m)) for m in marks]
            self._add_row(policy, split, config.bound, problems, results, solved, 1.0, oracle=True)
        for i, (problem, result) in enumerate(list(zip(problems, results, strict=True))[:NUM_TREES]):
            if result.tree:
                key, verdicts = derive(self.inputs.seed, i), dict(zip(result.answers, map(bool, marks[i]), strict=True))
                origin = origin_of(self.inputs, config, policy, split, self.models.version(policy))
                outcomes = self.tolerance.outcomes(problem, result.tree)
                self.trees.append(
                    tree_record(origin, problem, result, result.tree, key=key, correct=verdicts, outcomes=outcomes)
                )

    def _add_row(
        self,
        policy: str,
        split: str,
        search: str,
        problems: Sequence[Problem],
        results: Sequence[SearchResult],
        values: Sequence[float],
        share: float,
        oracle: bool = False,
    ) -> None:
        """One row; `share` is the part of the results' tokens that one answer took."""
        accuracy = bootstrap_interval(values)
        used = sum((result.usage for result in results), Usage())
        by_task: dict[str, list[float]] = {}
        for problem, value in zip(problems, values, strict=True):
            by_task.setdefault(problem.task, []).append(value)
        row = ResultRow(
            policy=policy,
            search=search,
            split=split,
            accuracy=accuracy.mean,
            ci_low=accuracy.low,
            ci_high=accuracy.high,
            n=len(problems),
            tokens_per_problem=used.generated / len(problems) * share,
            oracle=oracle,
            extra={
                "scored_per_problem": used.scored / len(problems) * share,
                "tasks": {task: sum(v) / len(v) for task, v in sorted(by_task.items())},
                **mean_stats(results),
            },
        )
        self.rows.append(row)
        self.log(f"eval/{search}/{policy}/{split}", row.accuracy, batch_size=1)
        self.log(f"eval/tokens_per_problem/{search}/{policy}/{split}", row.tokens_per_problem, batch_size=1)

    def marks(self, problems: Sequence[Problem], results: Sequence[SearchResult]) -> list[list[float]]:
        """The mark of each answer of each problem."""
        pairs = [(self.suite.truth(p), a) for p, r in zip(problems, results, strict=True) for a in r.answers]
        scores = iter(self._verifier.score_answers(pairs))
        return [[next(scores).value for _ in r.answers] for r in results]

    def on_test_end(self) -> None:
        """Puts the recipe's questions to the last policy."""
        policy = self.models.policy(self.config.policies[-1])
        questions = [Problem(f"ask/{i}", "ask", text) for i, text in enumerate(self.config.ask)]

        async def work(index: int, problem: Problem) -> Answer:
            (state,) = await policy.complete(policy.start(problem), 1, key=0, decoding=Decoding(greedy=True))
            return Answer(problem.prompt, self.config.policies[-1], state.text, policy.answer(state))

        self.asked = run_all(questions, work, label="questions") if questions else []

    def configure_optimizers(self) -> None:
        """Nothing is trained."""
