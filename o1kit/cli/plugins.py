"""`o1kit plugins list | check`: the kinds that recipes can name, and whether the installed ones work."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from o1kit.cli import plugins_new
from o1kit.cli.options import Json, faults_as_json, print_json
from o1kit.errors import EnvironmentFailure, RecipeError

if TYPE_CHECKING:
    from o1kit.registry import Installed

app = typer.Typer(help="Kinds that recipes can name, built-in and installed.", invoke_without_command=True)
app.command()(plugins_new.new)
HEADINGS = ("group", "kind", "origin", "version", "status")


@app.callback()
def _root(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_plugins()


@app.command("list")
def list_plugins(json: Json = False) -> None:
    """List all kinds, built-in and installed. Nothing is imported: `check` tells whether plugins work."""
    from o1kit.functional.printable import printable
    from o1kit.plugin import API
    from o1kit.registry import BUILTIN, GROUPS, installed

    lines = [HEADINGS]
    for group in GROUPS:
        lines += [(group, kind, "built-in", "", "") for kind in BUILTIN.get(group, {})]
        lines += [(group, one.kind, one.distribution, one.version, _status(one)) for one in installed(group)]
    if json:
        print_json([dict(zip(HEADINGS, line, strict=True)) for line in lines[1:]])
        return
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADINGS))]
    for line in lines:
        print(printable("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()))
    print(f"\nplugin API {API}; a plugin is imported when a recipe names it")


@app.command()
def check(
    name: Annotated[
        str | None, typer.Argument(help="Kind, or package, to check; all if left out.", show_default=False)
    ] = None,
    json: Json = False,
) -> None:
    """Import installed plugins and say what is wrong with them: API, section, factory, defaults, documentation."""
    from o1kit.functional.printable import printable
    from o1kit.plugin_checks import api, problems
    from o1kit.registry import COMMANDS

    with faults_as_json(json):
        chosen = _chosen(name, quiet=json)
    failed, rows = 0, []
    for found in chosen:
        wrong = problems(found, _commands() if found.group == COMMANDS else ())
        failed += bool(wrong)
        version = api(found)
        cells = {"group": found.group, "kind": found.kind, "origin": found.distribution, "version": found.version}
        rows.append({**cells, "api": version, "problems": list(wrong)})
        if json:
            continue
        made_for = f", API {version}" if version else ""
        print(printable(f"{'FAIL' if wrong else 'ok'}  o1kit.{found.group}: {found.kind}  ({found}{made_for})"))
        for text in wrong:
            print(printable(f"      {text}"))
    if json:
        print_json(rows)
        raise typer.Exit(EnvironmentFailure.exit_code if failed else 0)
    sys.stdout.flush()
    if failed:
        raise EnvironmentFailure(f"{failed} plugin{'s' * (failed > 1)} cannot be used as installed: see above.")


def _chosen(name: str | None, *, quiet: bool) -> list[Installed]:
    """The installed plugins of a kind or a package.

    Raises:
        RecipeError: there is none.
    """
    from o1kit.registry import GROUPS, installed, suggestion

    found = [one for group in GROUPS for one in installed(group)]
    if name is None:
        if not found and not quiet:
            print("no plugins are installed")
        return found
    known = sorted({word for one in found for word in (one.kind, one.distribution)})
    if name not in known:
        raise RecipeError(f"there is no installed plugin {name!r}.{suggestion(name, known) if known else ''}")
    return [one for one in found if name in (one.kind, one.distribution)]


def _commands() -> set[str]:
    from o1kit.cli import app, installed

    return installed.core_names(app.app)


def _status(found: Installed) -> str:
    from o1kit.registry import COMMANDS, plugins

    if found.shadowed or (found.group == COMMANDS and found.kind in _commands()):
        return f"not used: {found.kind!r} is a built-in name"
    rivals = [other for other in plugins(found.group)[found.kind] if other != found]
    return f"refused: {' and '.join(map(str, rivals))} has the same name" if rivals else "installed"
