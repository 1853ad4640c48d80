"""Problems of the evaluated splits that are like training problems."""

from __future__ import annotations

from collections.abc import Iterable

from o1kit.functional.overlap import KnownTexts
from o1kit.report.results import Overlap
from o1kit.stages.evaluate.config import OverlapConfig
from o1kit.tasks.suite import TRAIN, Suite

EXAMPLES = 3
SHOWN = 300
"""Characters of a problem that an example shows."""


def overlaps(suite: Suite, splits: Iterable[str], config: OverlapConfig | None) -> list[Overlap]:
    """One record a split; none where there are no training problems, or the recipe asks for none."""
    wanted = [split for split in splits if split != TRAIN]
    if config is None or TRAIN not in suite.splits or not wanted:
        return []
    known = [problem.prompt for problem in suite.problems(TRAIN)]
    index = KnownTexts(known, config.ngram)
    return [_overlap(suite, split, known, index, config.threshold) for split in wanted]


def _overlap(suite: Suite, split: str, known: list[str], index: KnownTexts, threshold: float) -> Overlap:
    problems = suite.problems(split)
    found = [index.find(problem.prompt) for problem in problems]
    # A whole text that is known is similar, even if all its n-grams belong to a template.
    similar = [i for i, match in enumerate(found) if match.normalised or match.share >= threshold]
    shown = sorted(similar, key=lambda i: (not found[i].exact, not found[i].normalised, -found[i].share))[:EXAMPLES]
    examples = []
    for i in shown:
        nearest = found[i].nearest
        like = {"like": known[nearest][:SHOWN]} if nearest is not None else {}
        examples.append(
            {"problem": problems[i].id, "text": problems[i].prompt[:SHOWN], "share": found[i].share, **like}
        )
    return Overlap(
        split=split,
        against=TRAIN,
        n=len(problems),
        exact=sum(match.exact for match in found),
        normalised=sum(match.normalised for match in found),
        similar=len(similar),
        share=len(similar) / len(problems),
        ngram=index.n,
        threshold=threshold,
        ignored=index.ignored,
        examples=tuple(examples),
    )
