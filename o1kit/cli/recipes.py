"""`o1kit recipe ...`: recipes to start from, and recipes that travel; what they need is imported when they run."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from o1kit.cli.completing import shipped_names
from o1kit.cli.options import Json, Overlays, RecipeFile, Sets, faults_as_json, print_json
from o1kit.cli.recipe_migrate import migrate

if TYPE_CHECKING:
    from o1kit.sharing.pack import Packed
    from o1kit.sharing.pull import Pulled

Name = Annotated[
    str,
    typer.Argument(help="Name of a recipe that comes with o1kit: see o1kit recipe list.", autocompletion=shipped_names),
]
MOST_LINKS = 20
"""Most links that are named one by one."""
Force = Annotated[bool, typer.Option("--force", help="Overwrite what is there.")]

app = typer.Typer(help="Recipes: start, look, copy, lock, share.", no_args_is_help=True)


@app.command("list")
def list_recipes(json: Json = False) -> None:
    """List the recipes that come with o1kit."""
    from o1kit.sharing.shipped import shipped

    found = shipped()
    if json:
        from json import dumps

        print(dumps([{"name": r.name, "path": str(r.path), **r.header} for r in found], indent=2))
        return
    for recipe in found:
        print(f"{recipe.name}\n  {recipe.header.get('What', '')}")
        for field in ("Hardware", "Before", "Expect"):
            if field in recipe.header:
                print(f"  {field}: {recipe.header[field]}")
    print("\nCopy one with o1kit recipe cp NAME, or start small with o1kit recipe new NAME.")


@app.command()
def show(name: Name) -> None:
    """Print a recipe that comes with o1kit."""
    import os
    import sys

    from o1kit.sharing.shipped import find

    text = find(name).path.read_text(encoding="utf-8")
    if not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        print(text, end="")
        return
    from rich.console import Console
    from rich.syntax import Syntax

    Console().print(Syntax(text, "yaml", theme="ansi_dark", background_color="default", word_wrap=True))


@app.command()
def new(
    name: Annotated[str, typer.Argument(help="Name of the runs of this recipe.")],
    source: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="RECIPE",
            help="Start from this recipe that comes with o1kit.",
            autocompletion=shipped_names,
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="File to write; NAME.yaml by default.")] = None,
    force: Force = False,
) -> None:
    """Write a small recipe with comments, to be changed."""
    from o1kit.sharing.copying import START, copy
    from o1kit.sharing.shipped import find

    target = out or Path(f"{name}.yaml")
    written = copy(START if source is None else find(source), target, name, force=force)
    _told(written, f"next: o1kit validate {quote(str(target))}, o1kit run {quote(str(target))}")


@app.command()
def cp(
    name: Name,
    file: Annotated[Path | None, typer.Argument(help="File to write; NAME.yaml by default.")] = None,
    force: Force = False,
) -> None:
    """Copy a recipe that comes with o1kit, with the files it reads; runs get the name of the file."""
    from o1kit.sharing.copying import copy
    from o1kit.sharing.shipped import find

    found = find(name)
    target = file or Path(found.path.name)
    target = target if target.suffix in (".yaml", ".yml") else target.with_name(f"{target.name}.yaml")
    _told(
        copy(found, target, force=force), f"next: o1kit validate {quote(str(target))}, o1kit run {quote(str(target))}"
    )


@app.command()
def lock(
    recipe: RecipeFile,
    sets: Sets,
    overlays: Overlays,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File to write, beside the recipe; RECIPE.lock by default.")
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Write down what a run is to be repeated with: values, versions, hashes. Run it with o1kit run RECIPE.lock."""
    from o1kit.sharing.lock import SUFFIX

    target = out or recipe.with_suffix(SUFFIX)
    with faults_as_json(json):
        held = _locked(recipe, target, (sets, overlays), force=force)
    if json:
        print_json({"file": str(target), "lock": held})
    else:
        _told([target], f"next: o1kit run {quote(str(target))}")


def _locked(recipe: Path, target: Path, given: tuple[Sequence[str], Sequence[Path]], *, force: bool) -> dict[str, Any]:
    """Writes a lock, and returns its section `lock`."""
    from o1kit.artifacts import write_atomic
    from o1kit.errors import DataError, EnvironmentFailure
    from o1kit.recipe.loader import load
    from o1kit.sharing.lock import lock_of, lock_text

    if target.resolve().parent != recipe.resolve().parent:
        raise DataError(f"{target}: a lock lies beside its recipe, whose paths it keeps. To send it, use recipe pack.")
    if target.resolve() == recipe.resolve():
        raise DataError(f"{target}: is the recipe itself. Name another file with --out.")
    if target.exists() and not force:
        raise EnvironmentFailure(f"{target}: is there already. Name another file, or overwrite it with --force.")
    found = load(recipe, *given).recipe
    lock = lock_of(found, recipe.parent)
    write_atomic(target, lock_text(found, recipe.parent, recipe.name, lock))
    return lock.model_dump(mode="json")


@app.command()
def pack(
    source: Annotated[Path, typer.Argument(metavar="RUN|RECIPE", help="Recipe, lock, or a run's folder.")],
    out: Annotated[Path | None, typer.Option(metavar="FILE", help="Archive to write; NAME.o1r by default.")] = None,
    with_data: Annotated[bool, typer.Option("--with-data", help="Pack small files of data too.")] = False,
    force: Force = False,
    json: Json = False,
) -> None:
    """Make one archive of a recipe, its lock, and what its run measured: no code, no weights."""
    from o1kit.functional.printable import printable
    from o1kit.sharing.archive import SUFFIX, sha256

    target = out or Path(f"{source.resolve().name if source.is_dir() else source.stem}{SUFFIX}")
    with faults_as_json(json):
        packed = _packed(source, target, with_data=with_data, force=force)
    size, digest = len(packed.content), sha256(packed.content)
    if json:
        files = dict(packed.files)
        print_json({"file": str(target), "bytes": size, "sha256": digest, "files": files, "notes": packed.notes})
        return
    for name, length in packed.files.items():
        print(printable(f"  {name}  {length} bytes"))
    for note in packed.notes:
        print(printable(note))
    print(f"{target}: {size} bytes\nsha256 {digest}")


def _packed(source: Path, target: Path, *, with_data: bool, force: bool) -> Packed:
    """Writes an archive, and returns it."""
    from contextlib import chdir

    from o1kit.artifacts import write_atomic
    from o1kit.errors import EnvironmentFailure
    from o1kit.resuming import started_in
    from o1kit.sharing.pack import pack as packed_of

    if target.exists() and not force:
        raise EnvironmentFailure(f"{target}: is there already. Choose another file, or overwrite it with --force.")
    # The path of a run's model starts from where the run was started.
    start = started_in(source) if source.is_dir() else None
    source = source.absolute() if start is not None else source
    with chdir(start or "."):
        packed = packed_of(source, with_data=with_data)
    write_atomic(target, packed.content)
    return packed


@app.command()
def verify(
    file: Annotated[Path, typer.Argument(metavar="ARCHIVE|LOCK", help="Archive (.o1r) or lock.")],
    data: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Where the data are that the recipe reads.")
    ] = None,
    json: Json = False,
) -> None:
    """Check an archive or a lock: hashes, the recipe, and whether this machine and its data are as locked."""
    from o1kit.errors import DataError
    from o1kit.functional.printable import one_line, printable
    from o1kit.sharing.verify import verify as verified

    with faults_as_json(json):
        found = verified(file, data)
    if json:
        rows = [{"what": one.what, "locked": one.locked, "here": one.here} for one in found.differences]
        print_json({"as_locked": not rows, "checked": found.lines, "differences": rows})
        raise typer.Exit(DataError.exit_code if rows else 0)
    for line in found.lines:
        print(one_line(line))
    if found.differences:
        text = "\n".join(f"  {difference}" for difference in found.differences)
        raise DataError(printable(f"{file}: not as locked:\n{text}"))


@app.command()
def pull(
    source: Annotated[str, typer.Argument(help="Path, archive, https://..., git+https://...@COMMIT, hf://, wandb://.")],
    recipe: Annotated[str | None, typer.Option(metavar="FILE", help="Which recipe, where there are several.")] = None,
    sha256: Annotated[str | None, typer.Option(metavar="HEX", help="What the file's hash must be.")] = None,
    out: Annotated[Path | None, typer.Option(metavar="FOLDER", help="New folder; named after the recipe.")] = None,
    network: Annotated[bool, typer.Option("--network", help="Leave to use the network.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Write it without asking.")] = False,
    json: Json = False,
) -> None:
    """Take a recipe from elsewhere: shows what it would use, then writes it. Nothing of it is run or installed."""
    from o1kit.sharing.pull import Wanted, fetch, write

    with faults_as_json(json):
        found = fetch(Wanted(source, recipe, sha256, network))
        target = out or Path(Path(found.recipe).stem)
        if json:
            shown = _as_data(found)
            if yes:
                write(found, target)
            print_json(shown | {"written": str(target) if yes else None})
            return
    _shown(found)
    if yes or _agreed(target):
        write(found, target)
        print(f"written to {target}; next: o1kit validate {quote(str(target / found.recipe))}")
    else:
        print(f"nothing was written; --yes writes it to {target}")


def _as_data(found: Pulled) -> dict[str, Any]:
    """What a pulled recipe is and would use, for programs."""
    from o1kit.recipe.faults import as_data
    from o1kit.sharing.pull import composed
    from o1kit.sharing.uses import uses

    data, wrong = composed(found)
    return {
        "recipe": found.recipe,
        "origin": found.origin,
        "files": {name: len(found.files[name]) for name in sorted(found.files)},
        "links": found.links,
        "uses": vars(uses(found.files, found.recipe, data)),
        "valid": wrong is None,
        "faults": [] if wrong is None else as_data(wrong, found.recipe),
    }


def _shown(found: Pulled) -> None:
    from o1kit.functional.printable import one_line, printable
    from o1kit.sharing.pull import composed
    from o1kit.sharing.uses import uses

    print(printable(f"{found.recipe} from {found.origin}"))
    for name in sorted(found.files):
        print(printable(f"  {name}  {len(found.files[name])} bytes"))
    for name in found.links[:MOST_LINKS]:
        print(one_line(f"  {name}  left out: links are not followed"))
    if len(found.links) > MOST_LINKS:
        print(f"  and {len(found.links) - MOST_LINKS} more links, left out")
    data, wrong = composed(found)
    for line in uses(found.files, found.recipe, data).lines():
        print(printable(f"  {line}"))
    print(printable(f"not valid here:\n{wrong}" if wrong else "valid"))


def _agreed(target: Path) -> bool:
    import sys

    return sys.stdin.isatty() and sys.stdout.isatty() and typer.confirm(f"Write it to {target}?")


def _told(written: list[Path], following: str) -> None:
    for path in written:
        print(f"wrote {path}")
    print(following)


app.command()(migrate)
