"""`Config`: the base of every recipe section: strict, frozen, and documented once, under each field."""

from __future__ import annotations

import sys
from contextlib import suppress
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PrivateAttr

if TYPE_CHECKING:
    import ast

    from pydantic import GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue


class Config(BaseModel):
    """A recipe section. Unknown keys are errors; the docstring under a field is its documentation, see `docs`."""

    # Validators are built when a section is first used: a recipe needs few of the classes that are imported.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, defer_build=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: Any, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The JSON schema with the documentation of every field."""
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for name, text in docs(cls).items():
            if text and name in properties:
                properties[name].setdefault("description", text)
        return schema

    _secrets: dict[tuple[str | int, ...], str] = PrivateAttr(default_factory=dict)
    """What is written where a value comes from the environment, or is a folder seen from elsewhere; see `public`."""


def public(section: Config, **options: Any) -> Any:
    """The section as plain data that may be written, shown or hashed: `${env:NAME}` for values of the environment.

    It reads back as the same recipe: a literal `${` is written `$${`, and relative paths start from the recipe's
    folder, the model's too, which a loaded recipe gives from where o1kit runs. This, not `model_dump`, is for
    everything that leaves the process.

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
    """Notes in a section, and in all sections within it, which of their values are written otherwise; see `public`."""
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


def _number(version: Any) -> Any:
    """`true` and 1.0 are equal to 1, and no versions."""
    if isinstance(version, bool | float):
        raise ValueError("is the number of the format. Write 1")
    return version


FirstVersion = Annotated[Literal[1], BeforeValidator(_number)]
"""The number of a format that has had no other."""


class Beside:
    """Marks a field that holds a path, which starts from the folder of the file it is written in."""


class Found(Beside):
    """Marks a field that holds the name of a folder if there is one, else something else, such as a hub id."""


class WrittenDown:
    """Marks a field whose value stands in what a run leaves, such as a model's files: it is no place for a secret."""


class Late:
    """Marks a field that came when results had been computed without it: at its default no fingerprint has it."""


FilePath = Annotated[str, Beside()]
"""A file or folder; a relative path starts from the folder of the recipe file it is written in."""
FolderOrId = Annotated[str, Found()]
"""A folder, or the name of something that is none; a relative path is looked for beside the recipe file first."""
PublicText = Annotated[str, WrittenDown()]
"""A text that stands in what a run leaves, such as a model's files: `${env:NAME}` is refused there."""


class Unit:
    """Marks a number with what it is measured in; it is in the JSON schema. Of several the outermost counts.

    Pure numbers have units, too: `number` for factors, exponents and the like, `count` and `share`.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def __get_pydantic_json_schema__(self, core_schema: Any, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The schema with the unit, at the number itself where there may be none or several."""
        schema = handler(core_schema)
        for member in schema.get("anyOf", [schema]):
            if member.get("type") in ("integer", "number"):
                member["unit"] = self.name
        return schema


# What most numbers are measured in, and the types of those that are nothing else.
NUMBER, COUNT, SHARE = Unit("number"), Unit("count"), Unit("share")
TOKENS, STEPS, SECONDS, MIB = Unit("tokens"), Unit("optimizer steps"), Unit("seconds"), Unit("MiB")
Probability = Annotated[float, Field(ge=0.0, le=1.0), SHARE]
Positive = Annotated[float, Field(gt=0.0), NUMBER]
MOST = 10**9
"""Larger numbers of anything are slips of the hand."""
Count = Annotated[int, Field(ge=1, le=MOST), COUNT]
CountOrZero = Annotated[int, Field(ge=0, le=MOST), COUNT]
NonNegative = Annotated[float, Field(ge=0.0), NUMBER]
Tokens = Annotated[Count, TOKENS]
Steps = Annotated[Count, STEPS]
StepsOrZero = Annotated[CountOrZero, STEPS]
LearningRate = Annotated[float, Field(gt=0.0, le=100.0), NUMBER]
Seconds = Annotated[Positive, SECONDS]
Mebibytes = Annotated[Count, MIB]
StageName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$", max_length=40)]


@cache
def docs(model: type[BaseModel]) -> dict[str, str]:
    """The documentation of each field: the docstring under it, in the class or in the nearest base that has one.

    It is read from the source when it is asked for: most commands never need it. Empty where there is no source.
    """
    found: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        if issubclass(cls, BaseModel) and cls not in (BaseModel, Config):
            found |= _docstrings(cls)
    return {name: field.description or found.get(name, "") for name, field in model.model_fields.items()}


def _docstrings(cls: type) -> dict[str, str]:
    """The texts that follow the annotated names in the body of a class."""
    import ast
    import inspect

    found: dict[str, str] = {}
    body = _classes(cls.__module__).get(cls.__qualname__, [])
    for field, after in pairwise(body):
        match field, after:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                found[name] = inspect.cleandoc(text)
    return found


@cache
def _classes(module: str) -> dict[str, list[ast.stmt]]:
    """The bodies of all classes of a module by their qualified names."""
    import ast
    import inspect

    found: dict[str, list[ast.stmt]] = {}

    def visit(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.ClassDef):
                found[prefix + child.name] = child.body
                visit(child, f"{prefix}{child.name}.")
            elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
                visit(child, f"{prefix}{child.name}.<locals>.")
            else:
                visit(child, prefix)

    with suppress(OSError, TypeError, KeyError, SyntaxError):  # made at run time: there is no source
        source = sys.modules[module]
        visit(ast.parse(inspect.getsource(source), source.__file__ or module), "")
    return found
