"""`pytest --o1kit-plugin GROUP:KIND`: the conformance kit without a file of tests.

    pytest --o1kit-plugin searches:my_kind --o1kit-section 'num_samples: 4'

pytest loads this module in every session where o1kit is installed, so it imports nothing that is not asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from o1kit.testing.subject import Subject

SUBJECTS = pytest.StashKey["list[Subject]"]()
OPTION, SECTION = "--o1kit-plugin", "--o1kit-section"
MODULE = Path(__file__).with_name("selected.py")
"""The module of tests that the option selects."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds the options."""
    group = parser.getgroup("o1kit", "o1kit: conformance of plugins")
    group.addoption(
        OPTION,
        action="append",
        default=[],
        metavar="GROUP:KIND",
        help="check this kind, for example searches:my_kind (repeatable); without files it is all that is run",
    )
    group.addoption(
        SECTION,
        action="append",
        default=[],
        metavar="YAML",
        help="options of the kind before it, for example 'num_samples: 4'; relative paths start from here",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Adds the module of tests to what is collected; it is all that is, if nothing was named.

    Raises:
        UsageError: the options make no sense.
    """
    if config.getoption(OPTION):
        config.stash[SUBJECTS] = subjects(config)
        named = config.args if config.args_source == pytest.Config.ArgsSource.ARGS else []
        config.args = [*named, str(MODULE)]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One test for each check of each kind."""
    if "o1kit_check" not in metafunc.fixturenames:
        return
    from o1kit.testing.conformance import checks_of

    cases = [(check, one) for one in metafunc.config.stash.get(SUBJECTS, []) for check in checks_of(one.group)]
    ids = [f"{one.group}:{one.kind}-{check.name}" for check, one in cases]
    metafunc.parametrize(("o1kit_check", "o1kit_subject"), cases, ids=ids)


def subjects(config: pytest.Config) -> list[Subject]:
    """The kinds that the options name, each with its section.

    Raises:
        UsageError: a word is not of the form GROUP:KIND, there is no such group, or a section is no mapping.
    """
    from o1kit.registry import suggestion
    from o1kit.testing.conformance import GROUPS
    from o1kit.testing.subject import Subject

    words, sections = config.getoption(OPTION), config.getoption(SECTION)
    if len(sections) not in (0, len(words)):
        raise pytest.UsageError(f"give {SECTION} as often as {OPTION}, or not at all: {len(sections)} and {len(words)}")
    found = []
    for word, text in zip(words, sections or [""] * len(words), strict=True):
        group, colon, kind = word.partition(":")
        if not (group and colon and kind):
            raise pytest.UsageError(f"{OPTION} {word}: write GROUP:KIND, for example searches:my_kind")
        if group not in GROUPS:
            raise pytest.UsageError(f"{OPTION} {word}: no checks for {group!r}.{suggestion(group, list(GROUPS))}")
        found.append(Subject(group, kind, _section(text), Path.cwd()))
    return found


def _section(text: str) -> dict[str, Any]:
    from o1kit.recipe.source import parse

    source = parse(text, SECTION)
    if source.faults:
        raise pytest.UsageError("\n".join(map(str, source.faults)))
    if not isinstance(source.data or {}, dict):
        raise pytest.UsageError(f"{SECTION} {text}: write keys and values, for example 'num_samples: 4'")
    return dict(source.data or {})
