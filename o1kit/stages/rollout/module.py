"""`RolloutModule`: searches, marks what was found, and writes it down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L

from o1kit import registry
from o1kit.artifacts import disk_errors
from o1kit.engines.policy import LanguagePolicy
from o1kit.functional.noise import derive
from o1kit.protocols import StageInputs
from o1kit.report.tree import CHAINS, LINES, Origin, line_of, tree_record
from o1kit.rewards.judges import guarded, own_judge
from o1kit.rewards.verifier import verifier_of
from o1kit.search.journal import Journal
from o1kit.search.journaled import JournaledPolicy
from o1kit.search.tolerance import Tolerance
from o1kit.search.tree import tree_of
from o1kit.stages.models import Models
from o1kit.stages.rollout.config import RolloutConfig
from o1kit.stages.rollout.data import Work
from o1kit.stages.rollout.records import Totals, chain_record
from o1kit.stages.searching import counted, journals_of, judge_name, label, origin_of, run_all
from o1kit.tasks.suite import Suite
from o1kit.types import SearchResult

Marks = Mapping[str | None, bool | None]
"""Answers with their verdicts; None where the verifier could not say."""


class RolloutModule(L.LightningModule):
    """Fills `trees.jsonl` and `chains.jsonl`, block by block, and `totals`; nothing is trained."""

    def __init__(self, inputs: StageInputs, suite: Suite) -> None:
        super().__init__()
        self.inputs, self.suite = inputs, suite
        self.config: RolloutConfig = inputs.config
        self.models = Models(inputs, suite, lambda: self.device)
        self.models.serve(self.config.policy, [self.config.search])
        self.tolerance = Tolerance(self.config.max_failed_judgements)
        self.journals = journals_of(inputs)
        self.totals = Totals()
        self._verifier = verifier_of(suite)
        self._policy: LanguagePolicy | None = None
        self._judge: Any = None

    @property
    def origin(self) -> Origin:
        """What all trees have in common."""
        config = self.config
        version = self.models.version(config.policy)
        return origin_of(self.inputs, config.search, config.policy, config.split, version)

    @property
    def _title(self) -> str:
        return label(self.config.search, judge_name(self.inputs))

    def on_test_start(self) -> None:
        """Loads the models and begins the files anew: what was searched before comes from the journal."""
        self._policy = self.models.policy(self.config.policy)
        self._judge = self.models.judge(self.config.judge, self._policy, self.config.policy)
        for name in (LINES, CHAINS):
            with disk_errors(self.inputs.directory / name):
                (self.inputs.directory / name).write_bytes(b"")

    def test_step(self, block: Sequence[Work], batch_idx: int) -> None:
        """Searches one block of problems and writes down what was found."""
        data: Any = self.trainer.datamodule  # type: ignore[attr-defined]
        config, blocks = self.config, len(data.blocks())
        part = f" {batch_idx + 1}/{blocks}" if blocks > 1 else ""
        with self.journals.open(f"{batch_idx:05d}", policy=config.policy, search=self._title) as journal:
            run = self._search(journal)
            results = run_all(block, run, label=f"{config.policy} {config.split} {self._title}{part}")
            self.tolerance.check(end=batch_idx + 1 == blocks)
        marks = self._marks(block, results)
        self._verifier.check(end=batch_idx + 1 == blocks)
        self._write(block, results, marks)
        self.tolerance.forget()

    def _search(self, journal: Journal) -> Any:
        """The search of one problem, which takes from the journal what is there."""
        assert self._policy is not None
        section, engine = self.config.search, self._policy.engine
        raw = own_judge(section, engine) or self._judge
        judge = guarded(raw, journal, self.tolerance, section.judge or "judge") if raw is not None else None
        policy = JournaledPolicy(self._policy, journal)
        more = {"oracle": self._verifier.reading(policy.answer)} if section.oracle else {}
        search: Any = registry.lookup("searches", section.kind)(section)
        run = partial(search.run, policy=policy, reward=judge, **more)

        async def one(_: int, work: Work) -> SearchResult:
            return await counted(run(policy.start(work.problem), key=self._key(work)))

        return one

    @property
    def _oracle(self) -> bool:
        """Whether the search looks at the ground truth, by itself or through its judge."""
        section = self.config.search
        return section.oracle or (section.judge == "judge" and getattr(self._judge, "oracle", False))

    def _key(self, work: Work) -> int:
        return derive(self.inputs.seed, work.number, work.sample)

    def _marks(self, block: Sequence[Work], results: Sequence[SearchResult]) -> list[Marks]:
        """The verdicts on all answers of each search; nothing without `verify`."""
        if not self.config.verify:
            return [{} for _ in results]
        answers = [dict.fromkeys([*r.answers, *(t.answer for t in r.trajectories)]) for r in results]
        truths = [self.suite.truth(work.problem) for work in block]
        pairs = [(truth, answer) for truth, found in zip(truths, answers, strict=True) for answer in found]
        scores = iter(self._verifier.score_answers(pairs))
        verdicts = {"right": True, "wrong": False, "no_answer": False}
        return [{answer: verdicts.get(next(scores).outcome) for answer in found} for found in answers]

    def _write(self, block: Sequence[Work], results: Sequence[SearchResult], marks: Sequence[Marks]) -> None:
        trees, chains, origin = [], [], self.origin
        for work, result, correct in zip(block, results, marks, strict=True):
            nodes = result.tree or tree_of(result.trajectories)
            tree = tree_record(
                origin,
                work.problem,
                result,
                nodes,
                key=self._key(work),
                sample=work.sample,
                correct=correct,
                outcomes=self.tolerance.outcomes(work.problem, nodes),
            )
            trees.append(line_of(tree))
            judged = bool(origin.judge or result.tree)
            chains += [line_of(chain_record(origin, work, result, t, correct, judged)) for t in result.trajectories]
            self.totals.add(work, result, correct)
        _append(self.inputs.directory / LINES, trees)
        _append(self.inputs.directory / CHAINS, chains)

    @property
    def summary(self) -> dict[str, Any]:
        """What `done.json` says of the stage."""
        found = self.totals.summary(verified=self.config.verify, oracle=self._oracle)
        return found | {"judgements": self.tolerance.judged, "failed_judgements": self.tolerance.failed}

    def on_test_epoch_end(self) -> None:
        """Logs the summary's figures."""
        self.log_dict({f"rollout/{name}": float(value) for name, value in self.summary.items()}, batch_size=1)

    def configure_optimizers(self) -> None:
        """Nothing is trained."""


def _append(path: Path, lines: Sequence[str]) -> None:
    with disk_errors(path), path.open("a", encoding="utf-8") as stream:
        stream.writelines(lines)
