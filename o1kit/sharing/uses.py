"""What a stranger's recipe would use if it ran: read off its files as they are written, nothing of it is run."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from o1kit.functional.printable import one_line
from o1kit.sharing.inputs import READ, cached_commit
from o1kit.sharing.tree import extending, pairs

BUILT_IN = "built-in"
PROGRAMS = ("python",)
"""Kinds of graders that run programs, which a model wrote."""
WORDS = ("description", "ask")
"""Fields with text for people or models, in which an address is only a word."""
_ENV = re.compile(r"\$\{env:([^}]*)\}")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://[^\s'\"]+", re.IGNORECASE)


@dataclass
class Uses:
    """What would be used; each entry with what is to be said of it."""

    plugins: dict[str, str] = field(default_factory=dict)
    data: dict[str, str] = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    network: dict[str, str] = field(default_factory=dict)
    programs: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        """One line an entry, and one for what is not used at all."""
        for name, found in vars(self).items():
            if not found:
                yield f"{name}: none"
            for key, said in found.items():
                yield one_line(f"{name}: {key}: {said}")


def uses(files: Mapping[str, bytes], recipe: str = "", composed: Any = None) -> Uses:
    """What the recipes among the files would use, all of them together: more is named than one of them needs.

    Args:
        files: content by name.
        recipe: the one that is to be used.
        composed: its data with `${...}` put in, as far as that goes: nothing stays hidden in pieces.
    """
    found = Uses()
    kinds = _kinds()
    for name, data in extending(files, recipe).items():
        _note(data, name, files, kinds, found)
    _note(composed, recipe, files, kinds, found)
    return found


def _note(data: Any, name: str, files: Mapping[str, bytes], kinds: Mapping[str, str], found: Uses) -> None:
    for key, value in pairs(data):
        if isinstance(value, dict):
            _note_section(value, found)
        elif isinstance(value, str):
            found.environment.update((match, "written into the recipe") for match in _ENV.findall(value))
            if key not in WORDS:
                found.network.update((address, f"`{key}`") for address in _ADDRESS.findall(value))
            if key in ("kind", "teacher"):
                _note_kind(value, kinds, found)
            elif key in READ:
                found.data[value] = _place(name, value, files)
            elif key.endswith("_env"):
                found.environment[value] = "read where it is needed"


def _note_kind(kind: str, known: Mapping[str, str], found: Uses) -> None:
    origin = known.get(kind, "NOT INSTALLED, or misspelt; nothing is installed for you")
    if origin != BUILT_IN:
        found.plugins[kind] = origin
    if kind in PROGRAMS:
        found.programs[f"grader {kind}"] = "runs what the model writes, confined"


def _note_section(section: Mapping[str, Any], found: Uses) -> None:
    named = [section.get("source")] if section.get("kind") == "hf" else []
    named += [section.get("tokenizer")] if section.get("kind") == "http" else []
    for source in named:
        if isinstance(source, str) and Path(source).is_dir():
            found.models[source] = "a folder on this machine"
        elif isinstance(source, str):
            commit = cached_commit(source)
            found.models[source] = (
                f"in the cache, commit {commit}" if commit else "not here: would have to be downloaded"
            )
    if section.get("mode") == "online":
        found.network["Weights & Biases"] = "metrics and configuration are sent there (`mode: online`)"


def _place(name: str, path: str, files: Mapping[str, bytes]) -> str:
    joined = posixpath.normpath(posixpath.join(posixpath.dirname(name), path))
    if joined in files:
        return f"comes along, {len(files[joined])} bytes"
    if joined.startswith(("..", "/")):
        state = "there" if Path(path).exists() else "not there"
        return f"OUTSIDE of the recipe's folder ({state}): it would be read"
    return "does not come along: to be put there"


def _kinds() -> dict[str, str]:
    """Every kind and teacher that can be named here, with where it comes from; no plugin is imported."""
    from o1kit.recipe.schema import Recipe
    from o1kit.registry import BUILTIN, GROUPS, installed

    found = {plugin.kind: f"installed, {plugin}" for group in GROUPS for plugin in installed(group)}
    for section in Recipe.model_json_schema().get("$defs", {}).values():
        kind = section.get("properties", {}).get("kind", {})
        for name in [kind["const"]] if "const" in kind else kind.get("enum", []):
            found.setdefault(name, BUILT_IN)
    return found | {name: BUILT_IN for group in BUILTIN.values() for name in group}
