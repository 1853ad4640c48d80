"""The conformance kit finds each flaw by the check that names it, and passes what is sound."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from o1kit.testing import conformance
from o1kit.testing.check import Nonconforming
from o1kit.testing.options import OPTIONS
from o1kit.testing.subject import Subject
from tests.distributions import install
from tests.testing.broken import KINDS


@pytest.fixture(scope="module", autouse=True)
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The flawed kinds, installed for this process as pip would have done it."""
    entries = {g: {k: f"tests.testing.broken:Plugins.{g}_{k}" for k in kinds} for g, kinds in KINDS.items()}
    entries["teachers"] = {"wrong_teacher": "tests.testing.broken:Plugins.teachers_wrong_teacher"}
    folder = install(tmp_path_factory.mktemp("site"), "broken-plugins", entries, {})
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        yield


FLAWS = [
    pytest.param(group, kind, found, marks=pytest.mark.slow if found in ("scores", "taught") else ())
    for group, kinds in KINDS.items()
    for kind, (*_, found) in kinds.items()
    if found
]
"""Those that start worker processes are in the slow part."""


@pytest.mark.parametrize(("group", "kind", "name"), FLAWS)
def test_each_flaw_is_found_by_its_check(group: str, kind: str, name: str) -> None:
    (check,) = (one for one in conformance.checks_of(group) if one.name == name)
    with pytest.raises(Nonconforming) as error:
        check(Subject(group, kind))
    told = str(error.value)
    assert told.startswith(f"{name}: {group} {kind!r}") and "\n  why: " in told and "\n  fix: " in told


@pytest.mark.parametrize("check", conformance.checks_of("searches"), ids=lambda check: check.name)
def test_a_sound_search_passes(check: Any) -> None:
    check(Subject("searches", "sound"))


def test_every_check_has_a_flaw_to_find() -> None:
    """Those of options are the same in all groups."""
    shared = {check.name for check in OPTIONS}
    for group, kinds in KINDS.items():
        own = shared if group != "searches" else set()
        found = {name for *_, name in kinds.values()}
        assert {check.name for check in conformance.checks_of(group)} - own == found - {None}


def test_flawed_kinds_pass_the_checks_that_are_not_theirs() -> None:
    """A check that fails for everything would find every flaw."""
    subject = Subject("searches", "free")
    for check in conformance.checks_of("searches"):
        if check.name in ("section", "well_formed", "same_key_same_result", "charged", "documented"):
            check(subject)
