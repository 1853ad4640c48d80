"""`Config`: the base of every recipe section: strict, frozen, and documented once, under each field."""

from __future__ import annotations

import sys
from contextlib import suppress
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

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


Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Count = Annotated[int, Field(ge=1)]
NonNegative = Annotated[float, Field(ge=0.0)]
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
        visit(ast.parse(inspect.getsource(sys.modules[module])), "")
    return found
