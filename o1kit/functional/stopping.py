"""When further samples of an answer can be spared. `None` (no answer) gets no votes; weights and scores are in [0, 1].

Four rules, from the strictest to the boldest: the outcome can not change any more; the lead is unlikely to be chance
(Adaptive-Consistency, Aggarwal et al. 2023, arXiv 2305.11860); the latest samples agree (early-stopping
self-consistency, Li et al. 2024, arXiv 2401.10480); a single one is judged good enough.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from o1kit.functional.voting import tally

TINY = 1e-300
"""Stands for zero in the denominators of a continued fraction (Lentz 1976)."""
PRECISION = 1e-15
MAX_TERMS = 10_000


def vote_is_settled(answers: Sequence[str | None], weights: Sequence[float], left: int) -> bool:
    """True when `left` more votes, of weight 0 to 1 each and for whatever answer, can not change `weighted_vote`.

    With the totals t_a the leader l stays ahead of another answer a if t_l > t_a + left; with equality it does if l
    was seen first, as ties go to the first seen. An answer not seen yet has t = 0 and comes last. The rule is tight:
    where it is False, some votes of weight 1 do change the outcome.
    """
    if left == 0:
        return True
    totals = tally(answers, weights)
    if not totals:
        return False
    leader = max(totals, key=totals.__getitem__)
    later = False
    for answer, total in totals.items():
        if answer == leader:
            later = True
        elif not _stays_ahead(totals[leader], total, left, later):
            return False
    return _stays_ahead(totals[leader], 0.0, left, True)


def _stays_ahead(leads: float, total: float, left: int, later: bool) -> bool:
    """True when `left` votes of 1 do not lift a total above the leader's, nor to it unless it was seen later."""
    for _ in range(left):  # one by one, as they would be counted: rounding then errs as the vote itself would
        total += 1.0
    return leads > total or (leads == total and later)


def best_is_settled(answers: Sequence[str | None], scores: Sequence[float], left: int) -> bool:
    """True when `left` more scores in [0, 1] can not change `best`: an answer has the highest score there is, 1."""
    return left == 0 or any(answer is not None and score >= 1 for answer, score in zip(answers, scores, strict=True))


def score_is_reached(answers: Sequence[str | None], scores: Sequence[float], wanted: float) -> bool:
    """True when an answer has at least the wanted score."""
    return any(answer is not None and score >= wanted for answer, score in zip(answers, scores, strict=True))


def agreement(answers: Sequence[str | None], weights: Sequence[float]) -> float:
    """The largest answer's share of all weight, in [0, 1]; samples without an answer agree with none."""
    total = sum(weights)
    return max(tally(answers, weights).values(), default=0.0) / total if total > 0 else 0.0


def lead_probability(answers: Sequence[str | None], weights: Sequence[float]) -> float:
    """P(p_1 > p_2 | v_1, v_2): that the leading answer is likelier than the runner-up, given both their totals.

    With a uniform prior on the leader's share p = p_1 / (p_1 + p_2) the posterior is Beta(v_1 + 1, v_2 + 1), and the
    probability is its mass above 1/2 (arXiv 2305.11860, section 3). For counts it is a binomial tail; totals of a
    weighted vote count as fractions of samples. 1/2 where there is no vote.
    """
    first, second = (*sorted(tally(answers, weights).values(), reverse=True), 0.0, 0.0)[:2]
    return regularized_beta(0.5, second + 1, first + 1)


def regularized_beta(x: float, a: float, b: float) -> float:
    """I_x(a, b) = (integral of t^(a-1) (1-t)^(b-1) from 0 to x) / B(a, b): the distribution function of Beta(a, b).

    By its continued fraction (Abramowitz and Stegun 26.5.8) with Lentz's method; relative errors are below 1e-10 for
    a and b up to 10^4.

    Raises:
        ValueError: x is not in [0, 1], or a or b is not positive.
    """
    if not (0 <= x <= 1 and a > 0 and b > 0):
        raise ValueError(f"I_x(a, b) needs 0 <= x <= 1 and positive a and b, got x = {x}, a = {a}, b = {b}")
    if x in (0, 1):
        return float(x)
    if x > (a + 1) / (a + b + 2):  # where the fraction converges slowly: I_x(a, b) = 1 - I_(1-x)(b, a)
        return 1 - regularized_beta(1 - x, b, a)
    scale = math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    return math.exp(scale) / a * _fraction(x, a, b)


def _fraction(x: float, a: float, b: float) -> float:
    """1 / (1 + d_1 / (1 + d_2 / ...)), d_2m = m (b-m) x / ((a+2m-1)(a+2m)), d_2m+1 = -(a+m)(a+b+m) x / (...)."""
    value, c, d = 1.0, 1.0, 0.0
    for i in range(MAX_TERMS):
        m = i // 2
        if i == 0:
            term = 1.0
        elif i % 2 == 0:
            term = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        else:
            term = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        d = 1 / _not_zero(1 + term * d)
        c = _not_zero(1 + term / c)
        change = c * d
        value *= change
        if abs(change - 1) < PRECISION:
            break
    return value - 1


def _not_zero(x: float) -> float:
    return x if abs(x) > TINY else TINY
