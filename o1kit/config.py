"""`Config`: the base of every recipe section: strict, frozen, and documented once, under each field."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr


class Config(BaseModel):
    """A recipe section. Unknown keys are errors; the docstring under a field is its documentation."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True, allow_inf_nan=False
    )

    _secrets: dict[tuple[str | int, ...], str] = PrivateAttr(default_factory=dict)
    """What is written where a value comes from the environment; see `public`."""


def public(section: Config, **options: Any) -> Any:
    """The section as plain data that may be written, shown or hashed: `${env:NAME}` for values of the environment.

    It reads back as the same recipe: a literal `${` is written `$${`. This, not `model_dump`, is for everything that
    leaves the process.

    Args:
        section: a recipe, or any section of one.
        options: those of `model_dump`, such as `exclude`.
    """
    return _public(section.model_dump(mode="json", **options), section._secrets, ())


def _public(data: Any, secrets: dict[tuple[str | int, ...], str], path: tuple[str | int, ...]) -> Any:
    if path in secrets:
        return secrets[path]
    if isinstance(data, dict):
        return {key: _public(value, secrets, (*path, key)) for key, value in data.items()}
    if isinstance(data, list):
        return [_public(value, secrets, (*path, i)) for i, value in enumerate(data)]
    return data.replace("${", "$${") if isinstance(data, str) else data


def keep_secret(section: Any, secrets: dict[tuple[str | int, ...], str]) -> None:
    """Notes in a section, and in all sections within it, which of their values come from the environment."""
    if isinstance(section, Config):
        section._secrets = secrets
        children: Any = [(name, getattr(section, name)) for name in type(section).model_fields]
    elif isinstance(section, dict):
        children = list(section.items())
    elif isinstance(section, list | tuple):
        children = list(enumerate(section))
    else:
        return
    for part, child in children:
        below = {path[1:]: text for path, text in secrets.items() if path[:1] == (part,)}
        if below and () not in below:
            keep_secret(child, below)


class Beside:
    """Marks a field that holds a path, which starts from the folder of the file it is written in."""


class Found(Beside):
    """Marks a field that holds the name of a folder if there is one, else something else, such as a hub id."""


FilePath = Annotated[str, Beside()]
"""A file or folder; a relative path starts from the folder of the recipe file it is written in."""
FolderOrId = Annotated[str, Found()]
"""A folder, or the name of something that is none; a relative path is looked for beside the recipe file first."""
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=1)]
NonNegative = Annotated[float, Field(ge=0.0)]
StageName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]
