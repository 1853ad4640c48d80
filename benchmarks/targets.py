"""Targets of benchmarks: each is printed as met or missed, and one that is missed ends with exit code 1."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """What was aimed at, and what was measured."""

    name: str
    measured: float
    bound: float
    unit: str
    at_least: bool = False
    """Whether the bound is the smallest that is good, not the largest."""

    @property
    def met(self) -> bool:
        """Whether it was reached; what is no number was not."""
        return self.measured >= self.bound if self.at_least else self.measured <= self.bound

    def line(self) -> str:
        """For example `median 0.260 s, target at most 0.300 s: met`."""
        word = "at least" if self.at_least else "at most"
        said = f"{self.name} {self.measured:.3f} {self.unit}, target {word} {self.bound:.3f} {self.unit}"
        return f"{said}: {'met' if self.met else 'missed'}"


def told(targets: list[Target]) -> int:
    """Prints the targets; the exit code, 1 if one was missed."""
    for target in targets:
        print(target.line())
    return 0 if all(target.met for target in targets) else 1
