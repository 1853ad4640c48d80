"""Versions: of Python, of all that o1kit requires, of what is known to be bad, and installed plugins."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, distributions, requires, version

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from o1kit.doctor.check import Check
from o1kit.registry import GROUPS, Installed, installed

MIN_PYTHON = (3, 11)
KNOWN_BAD: tuple[tuple[str, str, str], ...] = (
    ("lightning", "==2.6.2", "is a malicious upload that steals credentials: change every key used on this machine"),
    ("lightning", "==2.6.3", "is a malicious upload that steals credentials: change every key used on this machine"),
    ("torch", "<2.10", "loads files unsafely although weights_only is set"),
)
"""Package, versions, and what is wrong with them, whatever the requirements say."""


def package_checks() -> Iterator[Check]:
    """Python, requirements, known-bad versions, plugins."""
    python = ".".join(map(str, sys.version_info[:3]))
    good = sys.version_info[:2] >= MIN_PYTHON
    yield Check("python", "ok" if good else "fail", python, "" if good else "Install Python 3.11 or newer.")
    try:
        wanted = [Requirement(text) for text in requires("o1kit") or []]
    except PackageNotFoundError:
        wanted = []
        yield Check("packages", "warn", "o1kit is not installed, its requirements are unknown", "pip install -e .")
    present = installed_versions()
    yield from requirement_checks(wanted, present)
    yield from known_bad(present)
    yield from plugin_checks([one for group in GROUPS for one in installed(group)])


def installed_versions() -> dict[str, str]:
    """Versions of all installed packages, by name in lower case with dashes."""
    found: dict[str, str] = {}
    for package in distributions():
        name = package.metadata["Name"]
        if name:
            found.setdefault(_plain(name), package.version)
    return found


def requirement_checks(wanted: Sequence[Requirement], present: Mapping[str, str]) -> Iterator[Check]:
    """What o1kit requires against what there is; extras count only where they are installed."""
    fitting = 0
    for requirement in wanted:
        extra = requirement.marker is not None and not requirement.marker.evaluate({"extra": ""})
        found, name = present.get(_plain(requirement.name)), requirement.name
        if extra and found is None:
            continue
        if found is not None and requirement.specifier.contains(found, prereleases=True):
            fitting += 1
            continue
        text = f"{name} is not installed" if found is None else f"{name} {found}, needed: {requirement.specifier}"
        remedy = f"pip install '{name}{requirement.specifier}'"
        yield Check("packages", "warn" if extra else "fail", text, remedy)
    if fitting:
        main = ", ".join(f"{n} {present[n]}" for n in ("torch", "lightning", "transformers") if n in present)
        yield Check("packages", "ok", f"{fitting} packages fit what o1kit asks for ({main})")


def known_bad(present: Mapping[str, str]) -> Iterator[Check]:
    """Versions that must not be used."""
    for name, versions, why in KNOWN_BAD:
        found = present.get(name)
        if found is not None and SpecifierSet(versions).contains(found, prereleases=True):
            yield Check("packages", "fail", f"{name} {found} {why}", f"pip install --upgrade {name}")


def plugin_checks(found: Sequence[Installed]) -> Iterator[Check]:
    """Plugins by their metadata: nothing is imported (`o1kit plugins check` does)."""
    owners: dict[str, set[str]] = {}
    for one in found:
        owners.setdefault(f"{one.group} {one.kind}", set()).add(str(one))
        if one.shadowed:
            text = f"{one}: its {one.kind!r} of {one.group} is hidden by the built-in kind of that name"
            yield Check("plugins", "warn", text, "Uninstall it, or ask its author to rename the kind.")
    for name, packages in sorted(owners.items()):
        if len(packages) > 1:
            yield Check("plugins", "fail", f"{name} comes from {' and '.join(sorted(packages))}", "Uninstall one.")
    names = ", ".join(sorted(owners))
    yield Check("plugins", "ok", f"{len(owners)} installed{f': {names}' if names else ''}")


def version_of(name: str) -> str | None:
    """Version of a package, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _plain(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")
