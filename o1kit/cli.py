"""The command line: `o1kit run | eval | score | compare | validate | plan | schema | trees | labels | plugins`.

Only commands that run, evaluate or grade load torch.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from o1kit.errors import DataError, O1kitError
from o1kit.evaluation import add_commands
from o1kit.report.label_commands import add_commands as add_label_commands

if TYPE_CHECKING:
    from pydantic import BaseModel

    from o1kit.plan import Plan

# No network unless the user asks: with HF_HUB_OFFLINE=0 models are looked for on the hub too.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

EXIT_CODES = "exit codes: 2 recipe, 3 environment, 4 data, 5 diverged, 6 resources or rewards, 130 interrupted"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit code."""
    options = build_parser().parse_args(arguments)
    try:
        code: int = options.function(options)
        sys.stdout.flush()
        return code
    except O1kitError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("interrupted; run the same command again to go on from the last checkpoint", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of a pipe has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def build_parser() -> argparse.ArgumentParser:
    """All commands and options."""
    parser = argparse.ArgumentParser(
        prog="o1kit",
        description="One recipe runs a whole o1 stack: long chains of thought, process rewards, search, PPO.",
        epilog=EXIT_CODES,
    )
    parser.add_argument("--version", action="version", version=f"o1kit {version('o1kit')}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    run = _add(commands, "run", _run, "train and evaluate what a recipe describes", recipe=True)
    run.add_argument(
        "--stage",
        action="append",
        metavar="NAME[..NAME]",
        help="run this stage, or range of stages, only (repeatable); finished stages are skipped in any case",
    )
    run.add_argument("--runs-dir", type=Path, default=Path("runs"), help="folder for runs (default: runs)")
    run.add_argument("--plain", action="store_true", help="plain lines instead of bars, also on a terminal")
    add_commands(commands, _add)
    _add(commands, "validate", _validate, "check a recipe", recipe=True)
    plan = _add(commands, "plan", _plan, "show a recipe's stages, what each is built from, what is done", recipe=True)
    plan.add_argument("--runs-dir", type=Path, default=Path("runs"), help="folder for runs (default: runs)")
    plan.add_argument("--json", action="store_true", help="print JSON")
    schema = _add(commands, "schema", _schema, "print the JSON Schema of a file, with every field's documentation")
    kinds = ["recipe", "trees", "chains", "labels", "pairs", "outputs"]
    schema.add_argument("file", nargs="?", choices=kinds, default="recipe")
    trees = _add(commands, "trees", _trees, "show the search trees of a stage's folder or of a file")
    trees.add_argument("path", type=Path, help="folder of an evaluate or rollout stage, or a file of trees")
    trees.add_argument("--problem", metavar="ID", help="the trees of this problem only")
    add_label_commands(commands, EXIT_CODES)
    _add(commands, "plugins", _plugins, "list all kinds that recipes can name, built-in and installed")
    return parser


def _add(commands: object, name: str, function: object, text: str, *, recipe: bool = False) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(  # type: ignore[attr-defined]
        name, help=text, description=text[0].upper() + text[1:] + ".", epilog=EXIT_CODES
    )
    parser.set_defaults(function=function)
    if recipe:
        parser.add_argument("recipe", type=Path, help="recipe file (YAML)")
        parser.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="KEY.PATH=VALUE",
            dest="overrides",
            help="change the recipe, for example --set stages.sft.steps=100 (repeatable)",
        )
    return parser


def _load(options: argparse.Namespace) -> Plan:
    from o1kit.plan import compile_recipe
    from o1kit.recipe.loader import load_recipe

    return compile_recipe(load_recipe(options.recipe, options.overrides))


def _run(options: argparse.Namespace) -> int:
    plan = _load(options)
    from o1kit.runner import run_plan

    run_plan(
        plan,
        recipe_directory=options.recipe.parent,
        runs_dir=options.runs_dir,
        stages=options.stage,
        plain=options.plain,
    )
    return 0


def _validate(options: argparse.Namespace) -> int:
    plan = _load(options)
    count = len(plan.stages)
    print(f"{options.recipe}: valid, {count} stage{'s' * (count != 1)}: {', '.join(s.name for s in plan.stages)}")
    return 0


def _plan(options: argparse.Namespace) -> int:
    from o1kit.report.plan import print_plan, rows

    plan = _load(options)
    found = rows(plan, options.runs_dir / plan.recipe.name)
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        print_plan(plan.recipe.name, found)
    return 0


def _schema(options: argparse.Namespace) -> int:
    from o1kit.recipe.schema import Recipe
    from o1kit.report.label_schema import LabelRecord, PairRecord
    from o1kit.report.output_schema import OutputFile
    from o1kit.report.tree import json_schema
    from o1kit.report.tree_schema import ChainRecord, TreeRecord

    files: dict[str, type[BaseModel]] = {
        "recipe": Recipe,
        "trees": TreeRecord,
        "chains": ChainRecord,
        "labels": LabelRecord,
        "pairs": PairRecord,
        "outputs": OutputFile,
    }
    print(json_schema(files[options.file]), end="")
    return 0


def _trees(options: argparse.Namespace) -> int:
    from o1kit.functional.printable import printable
    from o1kit.report.tree import LINES, read_trees, render_tree, tree_file

    path = tree_file(options.path) or options.path / LINES if options.path.is_dir() else options.path
    found = 0
    for tree in read_trees(path):
        if options.problem in (None, tree.problem.id):
            found += 1
            print(printable(f"{tree.problem.id}: {' '.join(tree.problem.prompt.split())}"))
            print(printable(f"{tree.policy}, {tree.search.title}: {', '.join(str(a) for a in tree.answers)}"))
            print(printable(f"{render_tree(tree.nodes)}\n"))
    if not found:
        of = f" of problem {options.problem!r}" if options.problem else ""
        raise DataError(f"{path}: there is no tree{of}: an evaluation keeps those of searches that grow one.")
    return 0


def _plugins(options: argparse.Namespace) -> int:
    from o1kit.registry import BUILTIN, names, origin

    for group in BUILTIN:
        print(f"{group}:")
        for name in names(group):
            print(f"  {name:<18} {origin(group, name)}")
    return 0
