"""Slips, numbers out of range and wrong types over the whole schema; `benchmarks/recipe_faults.py` takes them all."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from benchmarks.recipe_faults import Tally, check_bounds, check_keys, check_types, measure, slips
from benchmarks.schema_walk import Section, minimal, walk
from o1kit.recipe.explain import written_path
from o1kit.recipe.schema import Recipe
from o1kit.recipe.source import parse

SECTIONS = walk()
SAMPLE = SECTIONS[::10]


def test_every_section_is_reached_with_a_valid_recipe() -> None:
    """What is refused below is refused for the one thing that is wrong."""
    definitions = {name.rpartition("__")[2] for name in Recipe.model_json_schema()["$defs"]}
    assert {section.name for section in SECTIONS} == definitions | {"Recipe"}
    for section in SECTIONS:
        source = parse(section.text(minimal(section.model)), "r.yaml")
        assert not source.faults
        try:
            Recipe.model_validate(source.data)
        except ValidationError as error:
            # A few do not fit the ones around them, which is told there, once they themselves are right.
            places = [written_path(item["loc"], source.data) for item in error.errors()]
            assert all(section.path[: len(place)] == place for place in places), section.name


def test_slips_are_all_of_one_character() -> None:
    deleted, inserted, substituted, swapped = slips("abc")
    assert deleted == ["bc", "ac", "ab"] and swapped == ["bac", "acb"]
    assert (len(inserted), len(substituted)) == (4 * 27, 3 * 26)


@pytest.mark.parametrize("section", SAMPLE, ids=lambda s: s.name)
def test_slips_in_keys(section: Section) -> None:
    tally = Tally()
    check_keys(section, 2, tally)
    assert tally.tried
    assert not tally.accepted and not tally.misplaced
    assert len(tally.misled) <= 0.1 * tally.tried, tally.misled  # over all sections it is 1 in 100


@pytest.mark.parametrize("section", SAMPLE, ids=lambda s: s.name)
def test_wrong_types_and_numbers_out_of_range(section: Section) -> None:
    types, wrong, right = Tally(), Tally(), Tally()
    check_types(section, types)
    check_bounds(section, wrong, right)
    assert types.tried
    for tally in (types, wrong, right):
        assert not tally.accepted and not tally.misplaced


@pytest.mark.slow
def test_the_whole_schema() -> None:
    keys, *others = measure(SECTIONS, 2).values()
    assert not keys.accepted and not keys.misplaced
    assert len(keys.misled) <= 0.01 * keys.tried, keys.misled
    assert keys.tried > 3000
    for tally in others:
        assert tally.tried > 250 and not tally.accepted and not tally.misplaced
