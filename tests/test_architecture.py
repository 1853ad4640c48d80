"""The shape of the code: imports go down only, recipes never touch torch, files and functions stay small."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1] / "o1kit"
LEVELS = [
    {"__main__"},
    {"cli"},
    {"rehearsal", "resuming", "doctor"},
    {"runner", "rescoring", "samples", "sharing", "testing", "scaffold"},
    {"outlook", "planning", "beforehand"},
    {"identity"},
    {"plan", "trainer"},
    {"checkpoints"},
    {"control"},
    {"explain"},
    {"recipe", "export"},
    {"stages"},
    {"rewards"},
    {"engines", "tasks", "search", "replay"},
    {"models"},
    {"report"},
    {"tracking"},
    {"artifacts"},
    {"kinds", "plugin_checks"},
    {"registry"},
    {"plugin"},
    {"config", "cpu", "cache"},
    {"protocols", "functional", "reference"},
    {"ledger"},
    {"types", "errors", "nearest", "decoding"},
]
LEVEL = {name: i for i, names in enumerate(LEVELS) for name in names}
FILES = sorted(ROOT.rglob("*.py"))
MAX_LINES, MAX_FUNCTION, MAX_PARAMETERS = 400, 60, 9


def runtime_imports(tree: ast.AST) -> Iterator[str]:
    """Modules imported when the code runs: all but those under `if TYPE_CHECKING`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from ([f"{node.module}.{a.name}" for a in node.names] if node.module == "o1kit" else [node.module])
        else:
            yield from runtime_imports(node)


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_down(path: Path) -> None:
    mine = part_of(path)
    if mine == "__init__":
        return
    configs_only = path.name == "config.py" or mine == "recipe"
    for module in runtime_imports(parsed(path)):
        if not module.startswith("o1kit."):
            continue
        other = module.split(".")[1]
        if other == mine:
            continue
        # A section may refer to the sections of any part: they are data and import nothing but Pydantic.
        if configs_only and module.endswith(".config"):
            continue
        assert LEVEL[mine] < LEVEL[other], f"{path.name} ({mine}) imports {module}, which is not below it"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_LINES
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < MAX_FUNCTION, f"{node.name} is too long"
            count = len(node.args.args) + len(node.args.kwonlyargs)
            # A command's parameters are its options.
            assert count <= MAX_PARAMETERS or part_of(path) == "cli", f"{node.name} has {count} parameters"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_nothing_untrusted_is_executed(path: Path) -> None:
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            # The worker's requests are pickled by the process that started it, over a private socket.
            if path.name != "worker.py":
                assert name not in {"pickle.load", "pickle.loads"}, name
            assert name not in {"eval", "exec", "yaml.load"}, name
            if name == "torch.load":
                assert any(k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords)
        if isinstance(node, ast.keyword) and node.arg == "trust_remote_code":
            assert ast.unparse(node.value) == "False"
