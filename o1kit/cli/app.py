"""All commands under one name."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from typing import Annotated, Any

import typer
from typer.exceptions import Abort, Exit, TyperException

from o1kit.cli import (
    INTERRUPTED,
    control,
    data,
    doctor,
    explain,
    export,
    labels,
    look,
    measure,
    planning,
    plugins,
    recipes,
    run,
)
from o1kit.cli.installed import WithInstalled

EXIT_CODES = "exit codes: 2 recipe or usage, 3 environment, 4 data, 5 diverged, 6 resources or rewards, 130 interrupted"

app = typer.Typer(
    name="o1kit",
    cls=WithInstalled,
    help="One recipe runs a whole o1 stack: long chains of thought, process rewards, search, PPO.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

RECIPES, MEASURING, LOOKING, MACHINE = "Recipes and runs", "Measuring", "Looking", "Plugins and files"


def _add(panel: str, command: Callable[..., Any], name: str | None = None) -> None:
    app.command(name, rich_help_panel=panel)(command)


_add(RECIPES, run.run)
_add(RECIPES, run.validate)
_add(RECIPES, planning.plan)
_add(RECIPES, control.status)
_add(RECIPES, control.stop)
_add(RECIPES, control.resume)
_add(RECIPES, control.fork)
_add(RECIPES, explain.explain)
app.add_typer(recipes.app, name="recipe", rich_help_panel=RECIPES)
_add(MEASURING, measure.evaluate, "eval")
_add(MEASURING, measure.score)
_add(MEASURING, measure.compare)
_add(LOOKING, look.trees)
app.add_typer(data.app, name="data", rich_help_panel=LOOKING)
app.add_typer(labels.app, name="labels", rich_help_panel=LOOKING)
_add(MACHINE, doctor.doctor)
_add(MACHINE, export.export)
_add(MACHINE, look.schema)
app.add_typer(plugins.app, name="plugins", rich_help_panel=MACHINE)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"o1kit {version('o1kit')}")
        raise typer.Exit


@app.callback()
def _root(
    _: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and stop.")
    ] = False,
) -> None:
    pass


def invoke(arguments: list[str]) -> int:
    """Runs one command; what is wrong with the words themselves is told here."""
    try:
        code = typer.main.get_command(_needed(arguments)).main(arguments, prog_name="o1kit", standalone_mode=False)
    except TyperException as error:
        _tell(error)
        return error.exit_code
    except Exit as ending:
        code = ending.exit_code
    except Abort:
        raise KeyboardInterrupt from None
    if code == INTERRUPTED:  # what typer makes of it
        raise KeyboardInterrupt
    return code if isinstance(code, int) else 0


def _needed(arguments: list[str]) -> typer.Typer:
    """The command line with the one command that is named; with all where none is: to build them takes a while."""
    named = [c for c in app.registered_commands if arguments and _name(c) == arguments[0]]
    if len(named) != 1:
        return app
    small = copy(app)
    small.registered_commands, small.registered_groups = named, []
    return small


def _name(command: Any) -> str:
    return str(command.name or command.callback.__name__.replace("_", "-"))


def _tell(error: Any) -> None:
    from typer import rich_utils

    rich_utils.rich_format_error(error)
