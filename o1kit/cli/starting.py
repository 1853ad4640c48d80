"""What `o1kit run` and `o1kit resume` have in common: run it here, in the background, or not at all."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from o1kit.control.records import Launch
    from o1kit.plan import Plan


@dataclass(frozen=True, slots=True)
class Start:
    """A run that is to be started."""

    plan: Plan
    launch: Launch
    runs_dir: Path
    plain: bool
    resume: bool

    @property
    def directory(self) -> Path:
        """The run's folder."""
        return self.runs_dir / self.plan.recipe.name

    @property
    def recipe_directory(self) -> Path:
        """Folder that relative paths in the recipe start from."""
        return Path(self.launch.recipe_directory)

    def here(self) -> None:
        """Runs in this process."""
        from o1kit.runner import run_plan

        run_plan(
            self.plan,
            recipe_directory=self.recipe_directory,
            runs_dir=self.runs_dir,
            stages=self.launch.stages,
            plain=self.plain,
            launch=self.launch,
            resume=self.resume,
        )

    def rehearsed(self, json: bool = False) -> None:
        """Shows what would run, and what would stop it; touches nothing."""
        from o1kit.functional.printable import printable
        from o1kit.rehearsal import rehearse
        from o1kit.runner import select_stages

        chosen = self._checked(select_stages([s.name for s in self.plan.stages], self.launch.stages))
        found = rehearse(self.plan, self.recipe_directory, self.directory, chosen)
        if json:
            from dataclasses import asdict

            from o1kit.cli.options import print_json
            from o1kit.recipe.faults import as_data

            faults = [fault for problem in found.problems for fault in as_data(problem)]
            stages = [asdict(row) for row in found.rows]
            shown = {"folder": str(self.directory), "ready": not faults, "stages": stages, "notes": found.notes}
            print_json(shown | {"faults": faults})
            raise typer.Exit(found.problems[0].exit_code if found.problems else 0)
        print(f"{self.directory}: {len(found.rows)} stages; nothing is run or written")
        width = max(len(row.stage) for row in found.rows)
        kinds = max(len(row.kind) for row in found.rows)
        for row in found.rows:
            print(f"  {row.stage:<{width}}  {row.kind:<{kinds}}  {row.action:<10}  {row.note}".rstrip())
        for note in found.notes:
            print(printable(note))
        for problem in found.problems:
            print(printable(f"error: {problem}"), file=sys.stderr)
        if found.problems:
            raise typer.Exit(found.problems[0].exit_code)
        print("ready to run")

    def detached(self, arguments: Sequence[str]) -> None:
        """Runs the command in the background: in a session of its own, which outlives the terminal."""
        from o1kit.artifacts import preflight
        from o1kit.control.detach import detach
        from o1kit.control.find import is_run
        from o1kit.control.lock import busy
        from o1kit.control.state import look
        from o1kit.runner import NEEDED_MB, select_stages

        self._checked(select_stages([s.name for s in self.plan.stages], self.launch.stages))
        if is_run(self.directory) and look(self.directory).state == "running":
            raise busy(self.directory)
        preflight(self.directory, NEEDED_MB)
        begun = detach([arguments[0], "--plain", *arguments[1:]], self.directory)
        if begun.exit_code is not None and begun.exit_code != 0:
            print(begun.output, end="", file=sys.stderr)
            raise typer.Exit(begun.exit_code)
        folder = self.directory
        print(f"folder: {folder}\nprocess: {begun.pid}\nlog: {begun.log}")
        print(f"look:   o1kit status {folder} --follow\nread:   tail -f {begun.log}\nstop:   o1kit stop {folder}")

    def _checked(self, chosen: list[str]) -> list[str]:
        """The stages; with --resume only if there is something to go on with."""
        if self.resume:
            from o1kit.identity import Identities
            from o1kit.outlook import require_work

            require_work(Identities(self.plan, self.recipe_directory), self.directory, chosen)
        return chosen


def words(option: str, values: Sequence[object]) -> list[str]:
    """An option for each value, as on a command line; a value that begins with a dash stays a value."""
    return [f"{option}={value}" for value in values]


def given(option: str, wanted: bool) -> list[str]:
    """An option without a value, if it is wanted."""
    return [option] if wanted else []
