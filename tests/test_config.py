"""Documentation of fields: read from the source when it is asked for, and the same as Pydantic finds."""

from __future__ import annotations

from typing import Annotated

import pytest
from pydantic import BaseModel, ConfigDict, Field, create_model

from o1kit.config import Config, docs


class Pydantic(BaseModel):
    """As Pydantic itself does it."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    first: int = 1
    """One line."""
    second: Annotated[str, Field(min_length=1)] = "x"
    """Two
    lines, of which one is indented:

        like this."""
    third: float = 0.0
    fourth: bool = Field(default=True, description="Written in place.")
    """Not this."""


class Ours(Config):
    """The same fields."""

    first: int = 1
    """One line."""
    second: Annotated[str, Field(min_length=1)] = "x"
    """Two
    lines, of which one is indented:

        like this."""
    third: float = 0.0
    fourth: bool = Field(default=True, description="Written in place.")
    """Not this."""


class Narrower(Ours):
    """A field that is narrowed keeps its documentation; one that is documented anew has the new one."""

    first: Annotated[int, Field(ge=0)] = 2
    second: str = "y"
    """Another."""
    fifth: int = 0
    """Further."""


def test_docs_are_those_that_pydantic_finds() -> None:
    found = {name: field.description or "" for name, field in Pydantic.model_fields.items()}
    assert docs(Ours) == found
    assert found["first"] == "One line." and found["third"] == ""


def test_docs_are_inherited() -> None:
    assert docs(Narrower) == docs(Ours) | {"second": "Another.", "fifth": "Further."}


def test_docs_are_in_the_json_schema() -> None:
    ours, theirs = Ours.model_json_schema(), Pydantic.model_json_schema()
    assert ours["properties"] == theirs["properties"]


def test_classes_in_functions_and_without_source() -> None:
    class Inner(Config):
        """Within a function."""

        key: int = 0
        """Found."""

    assert docs(Inner) == {"key": "Found."}
    assert docs(create_model("Made", __base__=Config, key=(int, 0))) == {"key": ""}


@pytest.mark.parametrize("kind", [Ours, Narrower])
def test_sections_are_built_when_they_are_used(kind: type[Config]) -> None:
    assert kind(first=3).model_dump()["first"] == 3
