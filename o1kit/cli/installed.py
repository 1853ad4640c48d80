"""Commands that installed packages add, under the entry-point group `o1kit.commands`: a `typer.Typer` or a function.

Help shows their names and packages from metadata. One is imported when its name is typed.
"""

from __future__ import annotations

from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException

from o1kit.errors import EnvironmentFailure
from o1kit.functional.printable import printable
from o1kit.nearest import nearest
from o1kit.registry import COMMANDS, Installed, import_plugin, installed

PANEL = "From installed plugins"


class InstalledCommand(TyperCommand):
    """Stands for a command of another package until it is called."""

    def __init__(self, found: Installed) -> None:
        super().__init__(
            found.kind, help=printable(f"From {found}."), rich_help_panel=PANEL, rich_markup_mode=None, params=[]
        )
        self.providers = [found]

    def make_context(self, info_name: Any, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the real command, which is imported now.

        Raises:
            EnvironmentFailure: it cannot be imported, or two packages have the name.
        """
        if len(self.providers) > 1:
            packages = " and ".join(map(str, self.providers))
            text = f"{packages} both have a command {self.name!r}. Uninstall one of them."
            raise EnvironmentFailure(text)
        return _real(self.providers[0]).make_context(info_name, args, parent, **extra)


class WithInstalled(TyperGroup):
    """The core commands, which nothing can replace, and those of installed packages."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command by name; packages are looked at when it is no core command."""
        if cmd_name not in self.commands:
            self._look()
        return super().get_command(ctx, cmd_name)

    def list_commands(self, ctx: Any) -> list[str]:
        """Names of all commands."""
        self._look()
        return super().list_commands(ctx)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the arguments name.

        Raises:
            TyperException: there is none; it tells the nearest, or that of a group with this very name.
        """
        try:
            return super().resolve_command(ctx, args)
        except TyperException as error:
            if args and not args[0].startswith("-"):  # else an option is wrong
                error.message = f"No such command {args[0]!r}.{self._hint(args[0])}"
            raise

    def _hint(self, word: str) -> str:
        """What was probably meant: a command of this name in a group, else the nearest here, else one in a group."""
        within: dict[str, list[str]] = {}
        for name, group in self.commands.items():
            for inner in group.commands if isinstance(group, TyperGroup) else ():
                within.setdefault(inner, []).append(f"{name} {inner}")
        near = None if word in within else nearest(word, self.commands)
        meant = [near] if near is not None else within.get(nearest(word, within) or "", [])
        if not meant:
            return " See all of them: o1kit --help"
        return f" Did you mean {' or '.join(f'`o1kit {name}`' for name in meant)}?"

    def _look(self) -> None:
        for found in installed(COMMANDS):
            there = self.commands.get(found.kind)
            if there is None:
                self.commands[found.kind] = InstalledCommand(found)
            elif isinstance(there, InstalledCommand) and found not in there.providers:
                there.providers.append(found)


def core_names(app: typer.Typer) -> set[str]:
    """Names of the commands that o1kit has itself."""
    made: Any = typer.main.get_command(app)
    return {name for name, command in made.commands.items() if not isinstance(command, InstalledCommand)}


def _real(found: Installed) -> Any:
    """The command of an entry point."""
    given = import_plugin(found)
    if isinstance(given, typer.Typer):
        return typer.main.get_command(given)
    if not callable(given):
        text = f"the command {found.kind!r} of {found} is a {type(given).__name__}: no Typer, no function."
        raise EnvironmentFailure(text)
    app = typer.Typer(add_completion=False)
    app.command(found.kind)(given)
    return typer.main.get_command(app)
