"""`Reference`: a section names an earlier stage."""

from __future__ import annotations

from typing import NamedTuple


class Reference(NamedTuple):
    """One stage names another: where (within its section), which, and of what kinds it must be."""

    path: tuple[str | int, ...]
    stage: str
    kinds: tuple[str, ...]
    others: tuple[str, ...] = ()
    """What may be named besides a stage."""


POLICIES = ("sft", "ppo", "dpo")
"""Kinds of stages that make a language model."""
JUDGES = ("prm",)
"""Kinds of stages that make a reward model."""
