"""`written`: a recipe as it goes to disk and to trackers. Every file and every tracker gets it from here."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


def written(recipe: BaseModel) -> dict[str, Any]:
    """The recipe as it was understood, defaults included, as plain data."""
    return recipe.model_dump(mode="json")
