"""Problems of the evaluated splits that are like training problems."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from o1kit.functional.overlap import KnownTexts
from o1kit.report.results import Overlap
from o1kit.stages.evaluate.config import OverlapConfig
from o1kit.tasks.suite import Suite

EXAMPLES = 3
SHOWN = 300
"""Characters of a problem that an example shows."""


class _Known(NamedTuple):
    """Texts that were learned from, and where they come from, in words."""

    against: str
    texts: list[str]
    table: KnownTexts


def overlaps(
    suite: Suite, splits: Iterable[str], config: OverlapConfig | None, seen: Mapping[str, Sequence[str]]
) -> list[Overlap]:
    """One record a split; none where there are no training problems, or the recipe asks for none.

    Args:
        suite: the problems.
        splits: those that are evaluated; of one that was learned from all problems are known.
        config: the recipe's section.
        seen: texts that were learned from, by where they come from.
    """
    if config is None:
        return []
    known: dict[str, _Known] = {}
    found = []
    for split in splits:
        learned = {name: texts for name, texts in seen.items() if texts}
        if not learned:
            continue
        against = ", ".join(learned)
        if against not in known:
            texts = list(dict.fromkeys(text for one in learned.values() for text in one))
            known[against] = _Known(against, texts, KnownTexts(texts, config.ngram))
        found.append(_overlap(suite, split, known[against], config.threshold))
    return found


def _overlap(suite: Suite, split: str, known: _Known, threshold: float) -> Overlap:
    index = known.table
    problems = suite.problems(split)
    found = [index.find(problem.prompt) for problem in problems]
    # A whole text that is known is similar, even if all its n-grams belong to a template.
    similar = [i for i, match in enumerate(found) if match.normalised or match.share >= threshold]
    shown = sorted(similar, key=lambda i: (not found[i].exact, not found[i].normalised, -found[i].share))[:EXAMPLES]
    examples = []
    for i in shown:
        nearest = found[i].nearest
        like = {"like": known.texts[nearest][:SHOWN]} if nearest is not None else {}
        examples.append(
            {"problem": problems[i].id, "text": problems[i].prompt[:SHOWN], "share": found[i].share, **like}
        )
    return Overlap(
        split=split,
        against=known.against,
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
