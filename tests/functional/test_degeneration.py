from __future__ import annotations

import random
import time
from typing import Any

import pytest

from o1kit.functional.degeneration import (
    Bounds,
    Chain,
    Degeneration,
    Loop,
    degeneration,
    final_loop,
    reflections,
    repeated_share,
    repeats_itself,
    truncated,
)


def test_repeated_share_by_hand() -> None:
    assert repeated_share("abcd", 1) == 0.0
    assert repeated_share("aabb", 1) == 0.5
    assert repeated_share("abababab", 4) == pytest.approx(1 - 2 / 5)  # abab baba abab baba abab
    assert repeated_share("abc", 4) == repeated_share("", 4) == 0.0
    with pytest.raises(ValueError, match="n >= 1"):
        repeated_share("abc", 0)


@pytest.mark.parametrize(
    ("text", "loop"),
    [
        ("", (0, 0)),
        ("a", (0, 0)),
        ("ab", (0, 0)),
        ("aa", (1, 2)),
        ("xyzaaaa", (1, 4)),
        ("xyabcabcabc", (3, 9)),
        ("xybcabcabc", (3, 8)),  # a round broken off at its beginning
        ("abcabcx", (0, 0)),  # the loop was left
        ("abab", (2, 4)),
    ],
)
def test_final_loop_by_hand(text: str, loop: tuple[int, int]) -> None:
    assert final_loop(text) == loop


def test_final_loop_is_what_trying_all_periods_finds() -> None:
    draw = random.Random(0)
    for _ in range(400):
        text = "".join(draw.choice("ab") for _ in range(draw.randrange(14)))
        best = (0, 0)
        for period in range(1, len(text) // 2 + 1):
            length = period
            while length < len(text) and text[-length - 1] == text[-length - 1 + period]:
                length += 1
            if length >= 2 * period and length > best[1]:
                best = (period, length)
        assert final_loop(text) == best, text


def test_long_chains_take_linear_time() -> None:
    start = time.monotonic()
    assert final_loop([1, 2] * 100_000) == Loop(2, 200_000)
    assert time.monotonic() - start < 5


def test_reflections_are_whole_words_and_phrases_count_once() -> None:
    text = "Wait, that is wrong. HMM. Waiting is no good; await. Let me\n check: wait! on second  thought, fine."
    assert reflections(text) == 5
    assert reflections("let me double-check", ["let me double-check", "double-check"]) == 1
    assert reflections(text, []) == reflections("", ["wait"]) == reflections(text, [" "]) == 0
    assert reflections("a.b axb", ["a.b"]) == 1


def test_an_end_that_the_model_did_not_choose() -> None:
    assert [truncated(finish) for finish in ("step", "answer", "length", "context")] == [False, False, True, True]


CHAINS = [
    Chain(range(40), "fine", "answer", "1"),
    Chain([1, 2, 3, 4, 5, 6] + [7, 8] * 8, "wait wait wait", "length", None),
    Chain(range(8), "hmm", "context", None),
    Chain([1] * 40, "wait hmm wait hmm", "answer", "2"),
]


def test_degeneration_by_hand() -> None:
    found = degeneration(CHAINS, Bounds(reflections=2))
    # 19 4-grams, of which 8 are different: 1234 2345 3456 4567 5678 6787 7878 8787
    assert repeated_share(CHAINS[1].tokens) == pytest.approx(1 - 8 / 19)
    assert found == Degeneration(
        no_answer=0.5,
        truncated=0.5,
        repetitive=0.5,
        over_reflective=0.5,
        mean_repeated_share=pytest.approx((11 / 19 + 36 / 37) / 4),
        mean_reflections=2.0,
    )
    with pytest.raises(ValueError, match="at least one chain"):
        degeneration([])


@pytest.mark.parametrize(
    "changed",
    [{"ngram": 1}, {"repeated": 0.99, "loop": 50}, {"reflections": 3}, {"words": ("fine",)}],
)
def test_every_bound_counts(changed: dict[str, Any]) -> None:
    assert degeneration(CHAINS, Bounds(reflections=2)._replace(**changed)) != degeneration(
        CHAINS, Bounds(reflections=2)
    )


def test_a_loop_needs_its_rounds_and_its_length() -> None:
    loop = [*range(50), *([7, 8] * 4)]
    assert not repeats_itself(loop)  # 8 tokens
    assert repeats_itself(loop, Bounds(loop_tokens=8))
    assert not repeats_itself(loop, Bounds(loop_tokens=8, loop=5))
