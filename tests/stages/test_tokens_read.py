"""Tokens that reward models read are those of their ledgers, and whoever uses a shared judgement has read it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from o1kit.ledger import Ledger, Reading, add_reading, reading
from o1kit.types import READING, Account, Usage
from tests.stages.test_judges import JUDGES, SAMPLES, evaluated, start

__all__ = ["start"]
VOTE = {"kind": "best_of_n", "num_samples": 3, "select": "weighted"}
FEWER = {"kind": "best_of_n", "num_samples": 2, "select": "best"}


def test_a_reading_adds_up_what_is_charged_for_judgements_within_it() -> None:
    ledger, shared = Ledger(), Reading(100)
    with reading() as row:
        ledger.charge(Account("p", "score"), Usage(prompt=1, cached=50, generated=60, scored=2))
        ledger.charge(Account("p", "expand"), Usage(prompt=1000))
        ledger.charge(Account("p", "score", reading=None), Usage(scored=1000))
        with reading() as part:
            ledger.charge(Account("p", "score"), Usage(scored=10))
        for _ in range(2):
            add_reading(shared)
    ledger.charge(Account("p", "score"), Usage(scored=1000))
    assert (row.tokens, part.tokens, READING.get()) == (163, 10, None)
    assert Account("p", "score", part) == Account("p", "score") and hash(Account("p")) == hash(Account("p", reading=1))


def test_readings_of_searches_side_by_side_are_apart() -> None:
    ledger = Ledger()

    async def search(tokens: int) -> int:
        with reading() as read:
            for _ in range(3):
                account = Account("p", "score")
                await asyncio.sleep(0)
                ledger.charge(account, Usage(scored=tokens))
        return read.tokens

    async def both() -> list[int]:
        return list(await asyncio.gather(search(1), search(10)))

    assert asyncio.run(both()) == [3, 30]


def read_by_ledger(row: Any) -> float:
    spent: dict[str, dict[str, float]] = row.extra["computed_per_problem"]
    kinds = ("score_scored", "score_prompt", "score_cached")
    return sum(tokens for who in spent.values() for name, tokens in who.items() if name in kinds)


@pytest.mark.parametrize("name", ["prm", "asked", "mixture", "confidence"])
def test_a_row_tells_what_its_judge_read(name: str, start: dict[str, Path], tmp_path: Path) -> None:
    alone = [evaluated(start, tmp_path / str(i), JUDGES[name], s).rows[0] for i, s in enumerate((SAMPLES, FEWER))]
    for row in alone:
        assert row.extra["scored_per_problem"] == pytest.approx(read_by_ledger(row))
        assert (row.extra["scored_per_problem"] > 0) == (name != "confidence")
    first, vote, fewer = evaluated(start, tmp_path / "all", JUDGES[name], SAMPLES, VOTE, FEWER).rows
    assert first.extra["scored_per_problem"] == pytest.approx(alone[0].extra["scored_per_problem"])
    assert vote.extra["scored_per_problem"] == pytest.approx(first.extra["scored_per_problem"]), "what it shares counts"
    assert read_by_ledger(vote) == 0, "and was not computed again"
    if name == "prm":
        assert fewer.extra["scored_per_problem"] == pytest.approx(alone[1].extra["scored_per_problem"])
