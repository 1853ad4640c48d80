"""`EvaluateModule`: runs the recipe's searches and measures them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import lightning as L

from o1kit import registry
from o1kit.decoding import Decoding
from o1kit.functional.noise import derive
from o1kit.protocols import StageInputs
from o1kit.report.output_schema import OutputLine
from o1kit.report.results import Answer, ResultRow
from o1kit.report.tree import tree_record
from o1kit.rewards.build import engines_of
from o1kit.rewards.judges import guarded, own_judge
from o1kit.rewards.verifier import verifier_of
from o1kit.search.config import GreedyConfig, SearchConfig
from o1kit.search.journal import Journal
from o1kit.search.journaled import JournaledPolicy
from o1kit.search.tolerance import Tolerance
from o1kit.stages.evaluate.config import EvaluateConfig
from o1kit.stages.evaluate.honest import watched_reward
from o1kit.stages.evaluate.judged import judge_metrics
from o1kit.stages.evaluate.measuring import Measured, measure, outcomes_of
from o1kit.stages.evaluate.seen import judge_has_learned, seen_by
from o1kit.stages.evaluate.shared import SharedSamples, remembered
from o1kit.stages.evaluate.storing import Book, Cell
from o1kit.stages.models import Models
from o1kit.stages.searching import counted, journals_of, judge_name, label, origin_of, run_all
from o1kit.tasks.suite import Suite
from o1kit.types import Problem, Score, SearchResult

NUM_TREES = 3
"""Search trees of each policy and split that are kept for the report."""


class Placed(NamedTuple):
    """A measured row and where it stands: policy, search, and row of the search."""

    place: tuple[int, int, int]
    measured: Measured


class EvaluateModule(L.LightningModule):
    """Fills `rows`, `book`, `trees`, `asked` and `reward`; nothing is trained."""

    def __init__(self, inputs: StageInputs, suite: Suite) -> None:
        super().__init__()
        self.inputs, self.suite = inputs, suite
        self.config: EvaluateConfig = inputs.config
        self.seen = seen_by(inputs, suite)
        self.book = Book()
        self.trees: list[dict[str, Any]] = []
        self.asked: list[Answer] = []
        self.reward: dict[str, Any] = {}
        self._placed: list[Placed] = []
        self._verifier = verifier_of(suite)
        self.models = Models(inputs, suite, lambda: self.device)
        self.models.serve(self.config.policies[0], self.config.searches)
        self.tolerance = Tolerance(self.config.max_failed_judgements)
        self.journals = journals_of(inputs)
        self.label = partial(label, judge=judge_name(inputs))

    @property
    def measured(self) -> list[Measured]:
        """All rows in the order of the table: by policy, then by search, then by split."""
        return [one.measured for one in sorted(self._placed, key=lambda one: one.place)]

    @property
    def rows(self) -> list[ResultRow]:
        """The same without the values of each problem."""
        return [one.row for one in self.measured]

    def test_step(self, pair: tuple[str, str], batch_idx: int) -> None:
        """Evaluates one policy on one split with every search."""
        name, split = pair
        titles = [self.label(config) for config in self.config.searches]
        with self.journals.open(f"{batch_idx:05d}", policy=name, split=split, search=titles) as journal:
            self._evaluate(name, split, journal)
            pairs = len(self.config.policies) * len(self.config.splits)
            self.tolerance.check(end=batch_idx + 1 == pairs)
            self._verifier.check(end=batch_idx + 1 == pairs)
        self.tolerance.forget()

    def _evaluate(self, name: str, split: str, journal: Journal) -> None:
        policy = self.models.policy(name)
        raw = self.models.judge(self.config.judge, policy, name)
        shared = SharedSamples(JournaledPolicy(policy, journal))
        scores = remembered(guarded(raw, journal, self.tolerance, "judge")) if raw is not None else None
        problems = self.suite.problems(split)
        engines = {"policy": policy.engine} | {n: e for n, e in engines_of(raw).items() if e is not policy.engine}
        largest_first = sorted(enumerate(self.config.searches), key=lambda p: -getattr(p[1], "num_samples", 0))
        for place, config in largest_first:
            search: Any = registry.lookup("searches", config.kind)(config)
            own = own_judge(config, policy.engine)
            judge = scores if own is None else guarded(own, journal, self.tolerance, str(config.judge))
            watched = watched_reward(judge, own or raw) if judge is not None else None
            more = {"oracle": self._verifier.reading(policy.answer)} if config.oracle else {}
            run = partial(search.run, policy=shared, reward=watched, **more)

            async def work(problem: Problem, key: int, run: Any = run) -> SearchResult:
                return await counted(run(shared.start(problem), key=key))

            cell = Cell(name, self.label(config), split, place, config.oracle, config.bound is None)
            runs = self._search(cell, config, problems, work)
            if watched is not None and watched.used and not cell.oracle:
                cell = cell._replace(search=f"{cell.search} oracle", oracle=True)
                named = {"search": cell.search, "oracle": True}
                runs = [[line.model_copy(update=named) for line in lines] for lines in runs]
            self.book.lines += [line for lines in runs for line in lines]
            count = len(problems) * len(runs)
            spent = {who: engine.ledger.take().per_problem(count) for who, engine in engines.items()}
            for other in config.models:
                spent[f"model {other}"] = self.models.other(other).engine.ledger.take().per_problem(count)
            self._measure(cell, config, runs, spent)

    def _search(
        self,
        cell: Cell,
        config: SearchConfig,
        problems: Sequence[Problem],
        work: Callable[[Problem, int], Awaitable[SearchResult]],
    ) -> list[list[OutputLine]]:
        """Runs one search with every seed: its graded outputs, one a problem."""
        runs = []
        for seed in range(self.runs_of(config)):
            first = [derive(self.inputs.seed, i) for i in range(len(problems))]
            keys = first if seed == 0 else [derive(key, seed) for key in first]
            again = f", seed {seed + 1}" if seed else ""
            keyed = list(zip(problems, keys, strict=True))
            title = f"{cell.policy} {cell.split} {cell.search}{again}"
            results = run_all(keyed, lambda _, pair: work(*pair), label=title)
            verdicts = self.verdicts(problems, results)
            runs.append(self.book.lines_of(cell, seed, keys, problems, results, verdicts))
            if seed == 0:
                self._keep_trees(cell, config, problems, results, verdicts)
        return runs

    def runs_of(self, config: SearchConfig) -> int:
        """How often a search runs: greedy finds the same chain every time."""
        return 1 if isinstance(config, GreedyConfig) else self.config.seeds

    def _measure(
        self, cell: Cell, config: SearchConfig, runs: list[list[OutputLine]], spent: Mapping[str, Any]
    ) -> None:
        """Makes the rows of a cell, and logs them."""
        tasks = {problem.id: problem.task for problem in self.suite.problems(cell.split)}
        wrong = self.book.degeneration([line for lines in runs for line in lines])
        extra = {"computed_per_problem": dict(spent), **({"degeneration": wrong} if wrong else {})}
        where = f"{cell.policy}/{cell.split}"
        for i, found in enumerate(measure(cell, config, runs, tasks, self.config.pass_at)):
            row = replace(found.row, extra={**found.row.extra, **extra})
            first = self.config.policies.index(cell.policy)
            self._placed.append(Placed((first, cell.place, i), found._replace(row=row)))
            self.log(f"eval/{row.name}/{where}", row.accuracy, batch_size=1)
            self.log(f"eval/tokens_per_problem/{row.name}/{where}", row.tokens_per_problem, batch_size=1)
        for name, number in outcomes_of(line for lines in runs for line in lines).items():
            self.log(f"eval/answers_{name}/{cell.search}/{where}", float(number), batch_size=1)
        for name, value in wrong.items():
            self.log(f"eval/{name}/{cell.search}/{where}", value, batch_size=1)

    def _keep_trees(
        self,
        cell: Cell,
        config: SearchConfig,
        problems: Sequence[Problem],
        results: Sequence[SearchResult],
        verdicts: Sequence[Sequence[Score]],
    ) -> None:
        """Puts the trees of the first problems by for the report."""
        version = self.models.version(cell.policy)
        origin = origin_of(self.inputs, config, cell.policy, cell.split, version)
        first = list(zip(problems, results, verdicts, strict=True))[:NUM_TREES]
        for i, (problem, result, scores) in enumerate(first):
            if result.tree:
                right = {answer: bool(score.value) for answer, score in zip(result.answers, scores, strict=True)}
                outcomes = self.tolerance.outcomes(problem, result.tree)
                key = derive(self.inputs.seed, i)
                self.trees.append(
                    tree_record(origin, problem, result, result.tree, key=key, correct=right, outcomes=outcomes)
                )

    def verdicts(self, problems: Sequence[Problem], results: Sequence[SearchResult]) -> list[list[Score]]:
        """What the grader says of each answer of each problem."""
        pairs = [(self.suite.truth(p), a) for p, r in zip(problems, results, strict=True) for a in r.answers]
        scores = iter(self._verifier.score_answers(pairs))
        return [[next(scores) for _ in r.answers] for r in results]

    def on_test_end(self) -> None:
        """Puts the recipe's questions to the last policy, and measures the judge."""
        policy = self.models.policy(self.config.policies[-1])
        questions = [Problem(f"ask/{i}", "ask", text) for i, text in enumerate(self.config.ask)]

        async def work(index: int, problem: Problem) -> Answer:
            (state,) = await policy.complete(policy.start(problem), 1, key=0, decoding=Decoding(greedy=True))
            return Answer(problem.prompt, self.config.policies[-1], state.text, policy.answer(state))

        self.asked = run_all(questions, work, label="questions") if questions else []
        judge = self.models.judge(self.config.judge, policy, self.config.policies[-1])
        if judge is not None:
            titles = [self.label(search) for search in self.config.searches]
            level = getattr(judge, "level", "step")
            guarded_judge = self.tolerance.wrap(judge, "judge")
            oracle = bool(getattr(judge, "oracle", False))
            learned = judge_has_learned(self.inputs, self.suite) if self.config.labels is not None else ()
            self.reward = judge_metrics(
                self.inputs, guarded_judge, policy.template, self.rows, titles, level, oracle, learned
            )
            self.tolerance.check(end=True)

    def configure_optimizers(self) -> None:
        """Nothing is trained."""
