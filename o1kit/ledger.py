"""`Ledger`: the tokens an engine has computed, by problem and phase of its search."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import asdict, dataclass, field

from o1kit.types import Account, Phase, Usage


@dataclass(slots=True)
class Ledger:
    """What was charged since it was last emptied by `take`."""

    entries: dict[Account, Usage] = field(default_factory=lambda: defaultdict(Usage))
    total: Usage = field(default_factory=Usage)

    def charge(self, account: Account, usage: Usage) -> None:
        """Adds tokens to an account."""
        self.entries[account] += usage
        self.total += usage

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
