"""Evaluation with planted models: every figure is worked out again from the stored outputs, by other means."""

from __future__ import annotations

import io
import json
from collections import Counter
from itertools import combinations
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import pytest
from rich.console import Console
from scipy.stats import binomtest

from o1kit import registry
from o1kit.protocols import Policy, Reward
from o1kit.report.output_schema import OutputLine
from o1kit.report.table import print_report
from o1kit.search.config import GreedyConfig
from o1kit.search.journal import Journal
from o1kit.search.sample import independent
from o1kit.stages.evaluate.config import EvaluateConfig
from o1kit.types import SearchResult, State
from tests.stages.planted_answers import (
    BEST,
    COUNT,
    GREEDY,
    MAJORITY,
    SAMPLE,
    SECRET,
    VOTE,
    Evaluated,
    PlantedJudge,
    evaluate,
)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    """Two policies, three seeds."""
    with pytest.MonkeyPatch.context() as patch:
        return evaluate(tmp_path_factory.mktemp("e"), patch, policies=["sft", "ppo"], seeds=3, pass_at=[2, 3])


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory) -> Evaluated:
    """The same with one policy and one seed."""
    with pytest.MonkeyPatch.context() as patch:
        return evaluate(tmp_path_factory.mktemp("o"), patch)


def lines(done: Evaluated, search: str, policy: str = "sft") -> list[OutputLine]:
    return [line for line in done.outputs.lines if (line.search, line.policy) == (search, policy)]


def answers(done: Evaluated, line: OutputLine) -> list[str | None]:
    return [done.outputs.chains[name].answer for name in line.chains]


@pytest.mark.parametrize("k", [1, 2, 3, 4])
def test_pass_at_k_is_the_share_of_all_subsets_with_a_right_answer(done: Evaluated, k: int) -> None:
    shares = [
        mean(any(answer == SECRET for answer in subset) for subset in combinations(answers(done, line), k))
        for line in lines(done, "pass@1")
    ]
    assert len(shares) == 3 * COUNT
    assert done.accuracy(f"pass@{k}") == pytest.approx(mean(shares))
    curve = done.results.find("sft", "pass@4", "heldout").extra["oracle_pass_at_k"]  # type: ignore[union-attr]
    assert curve.keys() == {"1", "2", "4"}
    if k != 3:
        assert curve[str(k)] == pytest.approx(mean(shares))


def test_searches_share_samples_and_choose_as_they_say(done: Evaluated) -> None:
    plain = {(line.problem, line.seed): line for line in lines(done, "pass@1")}
    for line in lines(done, "majority@4"):
        assert line.chains == plain[line.problem, line.seed].chains
        votes = Counter(answer for answer in answers(done, line) if answer is not None)
        assert votes[line.chosen or ""] == max(votes.values(), default=0)
        assert line.marks == [float(line.chosen == SECRET)]
    for line in lines(done, "rm@4"):
        best = max(range(4), key=lambda i: (line.scores[i] or 0) if answers(done, line)[i] is not None else -1)
        assert line.chosen == answers(done, line)[best]


def test_several_k_share_their_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    searches = [rule | {"num_samples": k} for k in (2, 4) for rule in (MAJORITY, BEST, VOTE)]
    found = evaluate(tmp_path, monkeypatch, searches=searches)
    names = [f"{rule}@{k}" for k in (2, 4) for rule in ("majority", "rm", "prm_vote")]
    assert [row.search for row in found.results.rows] == names
    chains = {(line.search, line.problem): line.chains for line in found.outputs.lines}
    for problem in found.outputs.problems:
        four = chains["majority@4", problem]
        assert all(chains[name, problem] == four[: int(name[-1])] for name in names)
    spent = [row.extra["computed_per_problem"]["policy"] for row in found.results.rows]
    assert sum(bool(tokens) for tokens in spent) == 1, "only the largest has sampled"


def test_figures_are_means_over_seeds_with_their_spread(done: Evaluated) -> None:
    row = done.results.find("sft", "majority@4", "heldout")
    assert row is not None and row.seeds == 3
    by_seed = [mean(x.marks[0] for x in lines(done, "majority@4") if x.seed == seed) for seed in range(3)]
    assert len(set(by_seed)) > 1, "seeds differ"
    assert row.accuracy == pytest.approx(mean(by_seed))
    assert row.seed_std == pytest.approx(stdev(by_seed))
    greedy = done.results.find("sft", "greedy", "heldout")
    assert greedy is not None and (greedy.seeds, greedy.seed_std) == (1, None), "greedy runs once"
    assert len(lines(done, "greedy")) == COUNT


def test_the_first_of_several_seeds_is_the_one_seed(done: Evaluated, once: Evaluated) -> None:
    for search in ("greedy", "pass@1", "prm_vote@4", "majority@4", "rm@4"):
        assert [x for x in lines(done, search) if x.seed == 0] == lines(once, search)


def test_seeds_that_are_stopped_go_on_where_they_were(
    once: Evaluated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    section: dict[str, Any] = {"searches": [GREEDY, SAMPLE, VOTE], "seeds": 2}
    whole = evaluate(tmp_path / "whole", monkeypatch, **section)
    put, count, limit = Journal.put, 0, whole.module.journals.recorded * 2 // 3

    def stop(self: Journal, *arguments: Any, **reply: Any) -> None:
        nonlocal count
        count += 1
        if count > limit:
            raise InterruptedError
        put(self, *arguments, **reply)

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "put", stop)
        with pytest.raises(InterruptedError):
            evaluate(tmp_path / "stopped", monkeypatch, **section)
    again = evaluate(tmp_path / "stopped", monkeypatch, **section)
    assert again.module.journals.reused == limit
    assert again.outputs.lines == whole.outputs.lines
    assert again.results.rows == whole.results.rows


def test_tokens_of_policy_and_judge_are_counted(done: Evaluated) -> None:
    row = done.results.find("sft", "rm@4", "heldout")
    found = lines(done, "rm@4")
    chains = [[done.outputs.chains[name].tokens for name in line.chains] for line in found]
    assert row is not None
    assert row.tokens_per_problem == pytest.approx(mean(map(sum, chains)))
    prompts: dict[str, set[float]] = {}
    for line in found:  # each different chain is read once, after its problem's prompt
        texts = {done.outputs.chains[name].text: done.outputs.chains[name].tokens for name in line.chains}
        prompts.setdefault(line.problem, set()).add((line.scored - sum(texts.values())) / len(texts))
    assert all(len(lengths) == 1 and lengths.pop() > 0 for lengths in prompts.values())
    assert row.extra["scored_per_problem"] == pytest.approx(mean(line.scored for line in found))
    plain = done.results.find("sft", "majority@4", "heldout")
    assert plain is not None and plain.extra["scored_per_problem"] == 0
    two = done.results.find("sft", "pass@2", "heldout")
    assert two is not None and two.tokens_per_problem == pytest.approx(row.tokens_per_problem / 2)


def test_degeneration_is_counted(done: Evaluated) -> None:
    found = [done.outputs.chains[name] for line in lines(done, "pass@1") for name in line.chains]
    cut = mean(chain.truncated for chain in found)
    assert cut > 0
    row = done.results.find("sft", "pass@1", "heldout")
    assert row is not None
    assert row.extra["degeneration"]["truncated"] == pytest.approx(cut)
    assert row.extra["degeneration"]["no_answer"] == pytest.approx(cut)
    assert row.extra["outcomes"]["no_answer"] == sum(chain.answer is None for chain in found)


def test_rows_are_compared_with_greedy_and_with_the_policy_before(done: Evaluated) -> None:
    pairs = {(c.policy, c.search, c.base_policy, c.base_search) for c in done.results.comparisons}
    names = ("pass@1", "prm_vote@4", "majority@4", "rm@4")
    expected = {(p, s, p, "greedy") for p in ("sft", "ppo") for s in names}
    assert pairs == expected | {("ppo", s, "sft", s) for s in ("greedy", *names)}
    one = next(c for c in done.results.comparisons if (c.policy, c.search, c.base_policy) == ("sft", "pass@1", "sft"))
    values = {
        name: {p: mean(mean(x.marks) for x in lines(done, name) if x.problem == p) for p in done.outputs.problems}
        for name in ("pass@1", "greedy")
    }
    differences = [values["pass@1"][p] - values["greedy"][p] for p in done.outputs.problems]
    assert one.difference == pytest.approx(mean(differences))
    assert (one.better, one.worse) == (sum(d > 1e-9 for d in differences), sum(d < -1e-9 for d in differences))
    assert one.p == pytest.approx(binomtest(one.better, one.better + one.worse).pvalue)
    assert one.p <= one.p_adjusted <= 1


def test_no_prompt_and_no_file_holds_the_ground_truth(once: Evaluated) -> None:
    assert once.policies["sft"].prompts and not any(SECRET in prompt for prompt in once.policies["sft"].prompts)
    for row in (once.folder / "outputs.jsonl").read_text().splitlines():
        line = json.loads(row)
        if SECRET in row:
            said = line.get("text", "") + str(line.get("answers", ""))
            assert SECRET in said, "only where the policy has found it"
    assert SECRET not in (once.folder / "results.json").read_text()


def test_problems_that_were_learned_are_found(once: Evaluated) -> None:
    (overlap,) = once.results.overlaps
    assert (overlap.split, overlap.n, overlap.exact, overlap.normalised) == ("heldout", COUNT, 0, 1)
    assert overlap.examples[0]["like"] == "PROBLEM 3 of lot 0: how many?"
    assert "like problems of train: heldout 1 of 12" in printed(once)


def printed(done: Evaluated) -> str:
    stream = io.StringIO()
    print_report(done.results, Console(file=stream, width=200), plain=True)
    return stream.getvalue()


def test_results_say_what_they_come_from(once: Evaluated) -> None:
    about = once.results.about
    assert (about.recipe_hash, about.stage, about.seed, about.judge) == ("hash", "evaluate", 5, "prm")
    assert about.o1kit == once.outputs.header.o1kit != ""
    assert about.graders == once.outputs.header.graders


def test_bounds_are_called_oracle_in_the_file(once: Evaluated) -> None:
    rows = json.loads((once.folder / "results.json").read_text())["rows"]
    assert {(row["search"], row["name"]) for row in rows if row["oracle"]} == {("pass@4", "pass@4 (oracle)")}
    assert all(row["search"] == row["name"] for row in rows if not row["oracle"])


def test_bounds_are_called_oracle_in_the_table(once: Evaluated) -> None:
    table = [line for line in printed(once).splitlines() if line.startswith("sft") and "pass@" in line]
    assert [("oracle" in line, "pass@4" in line) for line in table] == [(False, False), (True, True)]


@pytest.mark.parametrize(("search", "title"), [(BEST, "rm@4"), (VOTE, "prm_vote@4")])
def test_a_judge_that_knows_the_answers_is_found_out(
    search: dict[str, Any], title: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Planted: a judge that does not say so in the recipe, but whose judgements are an oracle's."""
    found = evaluate(tmp_path, monkeypatch, PlantedJudge(oracle=True), searches=[GREEDY, MAJORITY, search], seeds=2)
    flagged = {row.search: row.oracle for row in found.results.rows}
    assert flagged == {"greedy": False, "majority@4": False, f"{title} oracle": True}
    assert {(line.search, line.oracle) for line in found.outputs.lines if line.scores} == {(f"{title} oracle", True)}
    assert f"{title} oracle" in printed(found)
    assert not any("oracle" in c.search for c in found.results.comparisons), "bounds are compared with nothing"


class Peeking:
    """A planted search that asks the ground truth which of its chains is right."""

    def __init__(self, config: GreedyConfig) -> None:
        self.config = config

    async def run(self, root: State, *, policy: Policy, reward: Any, key: int, oracle: Reward) -> SearchResult:
        states = await policy.complete(root, 3, key=key)
        marks = [(await oracle.score(state)).value for state in states]
        return independent([states[marks.index(max(marks))]], root, policy)


def test_a_verifier_that_judges_is_an_oracle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Choosing by it is right as often as any sample is, and every row that it judged says `oracle`."""
    found = evaluate(tmp_path, monkeypatch, {"kind": "verifier"}, searches=[SAMPLE, MAJORITY, BEST])
    rows = {row.search: row.oracle for row in found.results.rows if row.split == "heldout"}
    assert rows.pop("rm@4 by verifier oracle") and rows == {"pass@1": False, "pass@4": True, "majority@4": False}
    assert found.accuracy("rm@4 by verifier oracle") == found.accuracy("pass@4") > found.accuracy("majority@4")


def test_a_search_that_looks_at_the_answers_is_called_oracle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.BUILTIN["searches"], "greedy", f"{__name__}:Peeking")
    monkeypatch.setattr(GreedyConfig, "oracle", True)
    found = evaluate(tmp_path, monkeypatch, searches=[GREEDY, SAMPLE])
    assert (found.results.rows[0].search, found.results.rows[0].oracle) == ("greedy oracle", True)
    assert found.accuracy("greedy oracle") > found.accuracy("pass@1")
    assert "greedy oracle" in printed(found)
    assert found.results.comparisons == ()


FLIPS: dict[str, dict[str, Any]] = {
    "policies": {"policies": ["ppo"]},
    "judge": {"judge": None, "searches": [GREEDY, SAMPLE, MAJORITY]},
    "searches": {"searches": [GREEDY, SAMPLE]},
    "splits": {"splits": ["harder"]},
    "seeds": {"seeds": 2},
    "pass_at": {"pass_at": [3]},
    "compare_to.policy": {"policies": ["sft", "ppo"], "compare_to": {"policy": "sft"}},
    "compare_to.search": {"compare_to": {"search": "majority@4"}},
    "overlap": {"overlap": None},
    "overlap.ngram": {"overlap": {"ngram": 3}},
    "overlap.threshold": {"overlap": {"threshold": 0.5}},
    "labels": {"labels": {"kind": "file", "path": "labels.jsonl", "format": "o1kit"}},
    "ask": {"ask": ["Problem 2 of lot 7: how many?"]},
}


ELSEWHERE = {"kind", "name", "judge_folder", "max_failed_judgements"}
"""Not flipped here: names, `tests/stages/test_eval_command.py`, and `tests/stages/test_stopped_evaluation.py`."""


def test_no_option_is_forgotten() -> None:
    assert {option.split(".")[0] for option in FLIPS} == EvaluateConfig.model_fields.keys() - ELSEWHERE


@pytest.mark.parametrize("option", FLIPS)
def test_every_option_changes_the_results(
    option: str, once: Evaluated, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    label = {"problem": "p", "prompt": "Problem 1", "steps": ["a\n", "b"], "labels": [1.0, 0.0], "correct": False}
    (tmp_path / "labels.jsonl").write_text(json.dumps(label | {"provenance": {"source": "judge"}}))
    found = evaluate(tmp_path, monkeypatch, **FLIPS[option])
    assert (found.folder / "results.json").read_text() != (once.folder / "results.json").read_text()
    if option.startswith("overlap."):
        (overlap,) = found.results.overlaps
        assert overlap.similar > once.results.overlaps[0].similar
    if option == "compare_to.search":
        assert {c.base_search for c in found.results.comparisons} == {"majority@4"}
    if option == "compare_to.policy":
        assert {(c.policy, c.base_policy) for c in found.results.comparisons} == {("ppo", "sft")}


def test_the_vote_is_worth_what_the_report_says(once: Evaluated) -> None:
    gains = {one["search"]: one for one in once.results.reward["best_of_n"]}
    assert gains.keys() == {"prm_vote@4", "rm@4"}
    gain = once.accuracy("rm@4") - once.accuracy("pass@1")
    assert gains["rm@4"]["gain_pass_at_1"] == pytest.approx(gain)
    assert gains["rm@4"]["gain_majority"] == pytest.approx(once.accuracy("rm@4") - once.accuracy("majority@4"))
