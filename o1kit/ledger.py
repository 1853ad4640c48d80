"""`Ledger`: the tokens an engine has computed, by problem and phase of its search."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

from o1kit.types import READING, Account, Phase, Usage


@dataclass(slots=True)
class Ledger:
    """What was charged since it was last emptied by `take`."""

    entries: dict[Account, Usage] = field(default_factory=lambda: defaultdict(Usage))
    total: Usage = field(default_factory=Usage)

    def charge(self, account: Account, usage: Usage) -> None:
        """Adds tokens to an account."""
        self.entries[account] += usage
        self.total += usage
        if account.phase == "score" and account.reading is not None:
            account.reading.own += usage.prompt + usage.cached + usage.scored

    def take(self) -> Ledger:
        """Everything so far, as a ledger of its own; this one starts again from nothing."""
        taken = Ledger(self.entries, self.total)
        self.entries, self.total = defaultdict(Usage), Usage()
        return taken

    def by_phase(self) -> dict[Phase, Usage]:
        """The phases that took any tokens."""
        phases: dict[Phase, Usage] = defaultdict(Usage)
        for account, usage in self.entries.items():
            phases[account.phase] += usage
        return dict(phases)

    def per_problem(self, problems: int) -> dict[str, float]:
        """Mean tokens of a problem, named `phase_kind` (`expand_generated`), for a number of problems."""
        means = {}
        for phase, usage in sorted(self.by_phase().items()):
            for kind, tokens in asdict(usage).items():
                if tokens:
                    means[f"{phase}_{kind}"] = tokens / problems
        return means

    def of_problem(self, problem: str) -> dict[Phase, Usage]:
        """The same for one problem."""
        return {account.phase: usage for account, usage in self.entries.items() if account.problem == problem}


@dataclass(slots=True)
class Reading:
    """Tokens that reward models read: its own, and those of its parts, each of which counts once.

    Parts that several readings have in common, judgements that are remembered, count in each of them.
    """

    own: int = 0
    parts: dict[int, Reading] = field(default_factory=dict)

    @property
    def tokens(self) -> int:
        """All that was read so far, cached or not: so it does not depend on what was computed together."""
        return self.own + sum(part.tokens for part in self.parts.values())


@contextmanager
def reading() -> Iterator[Reading]:
    """Adds up what is read for the judgements asked for in this block; a part of the reading around it."""
    mine = Reading()
    add_reading(mine)
    before = READING.set(mine)
    try:
        yield mine
    finally:
        READING.reset(before)


def add_reading(part: Reading) -> None:
    """Makes something that was read, now or before, a part of the present reading."""
    outer: Reading | None = READING.get()
    if outer is not None:
        outer.parts[id(part)] = part
