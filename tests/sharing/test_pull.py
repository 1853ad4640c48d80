"""Recipes from elsewhere: paths, archives, repositories and servers, all real, some of them hostile."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from o1kit.cli import main
from o1kit.config import Beside
from o1kit.errors import DataError, EnvironmentFailure, O1kitError
from o1kit.recipe.loader import load_recipe
from o1kit.recipe.schema import Recipe
from o1kit.sharing.archive import archive_bytes, manifest_of, sha256
from o1kit.sharing.hub import _check_entries
from o1kit.sharing.inputs import READ
from o1kit.sharing.pull import Wanted, composed, fetch, write
from o1kit.sharing.uses import uses
from tests.sharing.parts import PLAIN, ROWS, folder, member, packed, with_manifest

FILES = {"plain.yaml": PLAIN.encode(), "data/rows.jsonl": ROWS.encode()}
GOOD = archive_bytes(manifest_of("plain.yaml", None, FILES), FILES)


@pytest.fixture
def good(tmp_path: Path) -> Path:
    (tmp_path / "good.o1r").write_bytes(GOOD)
    return tmp_path / "good.o1r"


def test_an_archive_is_shown_and_written_only_when_agreed(
    good: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recipe", "pull", str(good), "--out", str(tmp_path / "got")]) == 0
    said = capsys.readouterr().out
    assert "nothing was written" in said and f"sha256 {sha256(GOOD)}" in said
    assert "data/rows.jsonl: comes along" in said
    assert not (tmp_path / "got").exists()
    pulled = fetch(Wanted(str(good), sha256=sha256(GOOD)))
    write(pulled, tmp_path / "got")
    assert load_recipe(tmp_path / "got/plain.yaml").name == "plain"
    assert {p.relative_to(tmp_path / "got").as_posix() for p in (tmp_path / "got").rglob("*") if p.is_file()} == {
        *FILES
    }


def test_another_hash_is_refused(good: Path) -> None:
    with pytest.raises(DataError, match=sha256(GOOD)):
        fetch(Wanted(str(good), sha256="0" * 64))


def test_a_hostile_archive_gives_code_4_and_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bad.o1r").write_bytes(packed(*with_manifest(FILES), member("../../evil\x1b[2J.yaml")))
    before = sorted(tmp_path.rglob("*"))
    assert main(["recipe", "pull", str(tmp_path / "bad.o1r"), "--out", str(tmp_path / "a/got"), "--yes"]) == 4
    assert "leads out of its folder" in (said := capsys.readouterr().err) and "\x1b" not in said
    assert sorted(tmp_path.rglob("*")) == before


def test_what_is_there_is_never_overwritten(good: Path, tmp_path: Path) -> None:
    pulled = fetch(Wanted(str(good)))
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("full", "link", "good.o1r"):
        with pytest.raises(EnvironmentFailure, match="is there already"):
            write(pulled, tmp_path / name)
    (tmp_path / "empty").mkdir()
    write(pulled, tmp_path / "empty")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["empty", "full", "good.o1r", "link"]


def test_a_folder_gives_one_recipe_with_what_it_extends_and_reads(tmp_path: Path) -> None:
    folder(tmp_path / "r", PLAIN + "extends: [../base/a.yaml]\n", "r.yaml")
    (tmp_path / "base").mkdir()
    (tmp_path / "base/a.yaml").write_text("extends: b.yaml\n")
    (tmp_path / "base/b.yaml").write_text("seed: 7\n")
    (tmp_path / "base/other.yaml").write_text("seed: 8\n")
    found = fetch(Wanted(str(tmp_path), recipe="r/r.yaml"))
    assert {*found.files} == {"r/r.yaml", "base/a.yaml", "base/b.yaml"} | {"r/data/rows.jsonl"}
    assert composed(found)[1] is None
    with pytest.raises(DataError, match="outside of what is shared"):
        fetch(Wanted(str(tmp_path / "r")))
    (tmp_path / "r/r2.yaml").write_text(PLAIN)
    with pytest.raises(DataError, match="2 recipes"):
        fetch(Wanted(str(tmp_path / "r")))


@pytest.mark.parametrize("path", ["/etc/hostname", "../../../../etc/hostname", "link.yaml"])
def test_a_recipe_cannot_extend_what_lies_elsewhere(path: str, tmp_path: Path) -> None:
    (tmp_path / "link.yaml").symlink_to("/etc/hostname")
    (tmp_path / "r.yaml").write_text(f"extends: {path}\n{PLAIN}")
    with pytest.raises(DataError, match=r"outside|not there"):
        fetch(Wanted(str(tmp_path / "r.yaml")))


def test_a_data_file_elsewhere_is_named_and_not_taken(tmp_path: Path) -> None:
    for path in ("/etc/x.jsonl", "../x.jsonl"):
        found = fetch(Wanted(str(folder(tmp_path, PLAIN.replace("data/rows.jsonl", path)))))
        assert {*found.files} == {"plain.yaml"}
        assert uses(found.files).data[path].startswith("OUTSIDE")


def test_everything_that_a_recipe_would_use_is_shown() -> None:
    text = """\
model: {kind: hf, source: somebody/model}
engine: {kind: http, endpoints: ["https://example.org/v1"], api_key_env: SECRET_KEY}
tasks: {train: {sources: [{kind: magic, grader: {kind: python}}, {kind: jsonl, path: a.jsonl}]}}
name: a-${env:USER}
tracking: {wandb: {mode: online}}
stages: [{kind: sft}, {kind: evaluate, teacher: ghost, judge_folder: w}]
"""
    found = uses({"a.yaml": text.encode(), "README.md": b"kind: nothing"})
    assert {*found.plugins} == {"magic", "ghost"} and "NOT INSTALLED" in found.plugins["magic"]
    assert {*found.data} == {"a.jsonl", "w"}
    assert "downloaded" in found.models["somebody/model"]
    assert {*found.network} == {"https://example.org/v1", "Weights & Biases"}
    assert {*found.programs} == {"grader python"} and {*found.environment} == {"SECRET_KEY", "USER"}


def test_a_recipe_cannot_write_lines_of_ours() -> None:
    text = 'a: {path: "x\\nnetwork: none"}\nb: {kind: "y\\e[2J\\nvalid"}\n'
    lines = list(uses({"a.yaml": text.encode()}).lines())
    assert lines.count("network: none") == 1 and all(line.isprintable() for line in lines)


def test_nothing_hides_in_pieces(tmp_path: Path) -> None:
    text = PLAIN + 'engine: {kind: http, endpoints: ["${name}s://192.0.2.1/v1"]}\n'
    found = fetch(Wanted(str(folder(tmp_path, text.replace("name: plain", "name: http")))))
    data, wrong = composed(found)
    assert wrong is None and "https://192.0.2.1/v1" in uses(found.files, found.recipe, data).network


def test_operators_hide_nothing(tmp_path: Path) -> None:
    (tmp_path / "base.yaml").write_text(PLAIN)
    text = "extends: base.yaml\ntracking: !replace {wandb: {mode: online}}\n"
    found = fetch(Wanted(str(folder(tmp_path, text, "r.yaml"))))
    assert {*found.files} == {"r.yaml", "base.yaml", "data/rows.jsonl"}
    assert "Weights & Biases" in uses(found.files).network


def archive(path: Path, files: dict[str, str], lock: str | None = None) -> Path:
    held = {name: text.encode() for name, text in files.items()}
    path.write_bytes(archive_bytes(manifest_of(next(iter(files)), lock, held), held))
    return path


@pytest.mark.parametrize("where", ["recipe", "base", "lock", "other"])
@pytest.mark.parametrize("listed", [False, True])
def test_an_archive_cannot_extend_what_lies_elsewhere(
    where: str, listed: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "private.yaml").write_text("seed: 7\npassword: hunter2\n")
    out = f"extends: {tmp_path}/private.yaml\n"
    out = f"extends: [{tmp_path}/private.yaml]\n" if listed else out
    files = {
        "a.yaml": (out if where == "recipe" else "extends: base.json\n") + PLAIN,
        "base.json": out if where == "base" else "{seed: 1}\n",
        "deep/b.yaml": out if where == "other" else "extends: ../a.yaml\n",
        "a.md": out if where == "lock" else "seed: 1\n",
    }
    file = archive(tmp_path / "x.o1r", files, "a.md")
    for command in (["pull", str(file), "--yes", "--out", str(tmp_path / "got")], ["verify", str(file)]):
        assert main(["recipe", *command]) == 4
        said = capsys.readouterr()
        assert "outside of what is shared" in said.err and "hunter2" not in said.out + said.err
    assert not (tmp_path / "got").exists()


def test_a_recipe_that_an_archive_does_not_hold_is_refused(good: Path, tmp_path: Path) -> None:
    words = ["recipe", "pull", str(good), "--recipe", "nope.yaml", "--yes", "--out", str(tmp_path / "got")]
    assert main(words) == 4 and not (tmp_path / "got").exists()
    with pytest.raises(DataError, match="leads out of its folder"):
        fetch(Wanted(str(good), recipe="../good.yaml"))


@pytest.mark.parametrize("base", ["base.json", "b/base.md", "base.jsonl"])
def test_nothing_hides_in_a_base_of_another_ending(base: str, tmp_path: Path) -> None:
    text = "model: {kind: hf, source: somebody/model}\nengine: {kind: http, api_key_env: SECRET_KEY}\n"
    files = {"a.yaml": f"extends: {base}\nname: '${{env:O1KIT_NOT_SET}}'\n", base: text}
    found = fetch(Wanted(str(archive(tmp_path / "x.o1r", files))))
    for data in (None, composed(found)[0]):
        shown = uses(found.files, found.recipe, data)
        assert "somebody/model" in shown.models and "SECRET_KEY" in shown.environment
    odd = {"a.json": text}
    assert "somebody/model" in uses(fetch(Wanted(str(archive(tmp_path / "y.o1r", odd)))).files, "a.json").models


def test_nothing_hides_in_pieces_of_what_is_not_valid_here(tmp_path: Path) -> None:
    text = PLAIN.replace("name: plain", "name: http") + 'engine: {kind: http, endpoints: ["${name}s://192.0.2.1/v1"]'
    found = fetch(Wanted(str(folder(tmp_path, text + ", model: '${env:O1KIT_NOT_SET}'}\n"))))
    data, wrong = composed(found)
    assert wrong is not None and "O1KIT_NOT_SET is not set" in wrong
    assert "https://192.0.2.1/v1" in uses(found.files, found.recipe, data).network


def test_every_field_that_names_a_file_is_known() -> None:
    marked = {
        name
        for section in _sections(Recipe)
        for name, field in section.model_fields.items()
        if any(type(mark) is Beside for mark in field.metadata)
    }
    assert marked and marked == {*READ}


def _sections(section: type, known: set[type] | None = None) -> set[type]:
    """All classes of sections, found through the annotations."""
    from typing import get_args

    from o1kit.config import Config

    known = set() if known is None else known
    waiting = [field.annotation for field in section.model_fields.values()]  # type: ignore[attr-defined]
    while waiting:
        annotation = waiting.pop()
        if isinstance(annotation, type) and issubclass(annotation, Config) and annotation not in known:
            known.add(annotation)
            _sections(annotation, known)
        waiting += get_args(annotation)
    return known


# --- git


def git(where: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=a", "-c", "user.email=a@b", "-c", "protocol.file.allow=always", *words],
        cwd=where,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A repository with hooks, filters, a link and a submodule, and its commit."""
    root = tmp_path_factory.mktemp("git")
    marker = root / "executed"
    script = f"#!/bin/sh\ntouch {marker}\ncat\n"
    work = root / "work"
    folder(work)
    git(root, "init", "-q", "work")
    (work / ".gitattributes").write_text("*.yaml filter=evil diff=evil\n* text\n")
    (work / "big.yaml").symlink_to("/etc/passwd")
    (work / "run.py").write_text("raise SystemExit\n")
    other = root / "other"
    git(root, "init", "-q", "other")
    git(other, "commit", "-q", "--allow-empty", "-m", "x")
    git(work, "submodule", "--quiet", "add", str(other), "sub")
    git(work, "add", "-A")
    git(work, "commit", "-q", "-m", "x")
    for name in ("post-checkout", "post-update", "pre-receive", "reference-transaction", "post-index-change"):
        hook = work / ".git/hooks" / name
        hook.write_text(script)
        hook.chmod(0o755)
    (root / "evil").write_text(script)
    (root / "evil").chmod(0o755)
    for key in (
        "filter.evil.smudge",
        "core.fsmonitor",
        "uploadpack.packObjectsHook",
        "core.pager",
        "diff.evil.textconv",
    ):
        git(work, "config", key, str(root / "evil"))
    home = f"[core]\n hooksPath = {work}/.git/hooks\n[init]\n templateDir = {work}/.git\n"
    home += f'[filter "evil"]\n smudge = {root}/evil\n'
    (root / ".gitconfig").write_text(home)
    return work, git(work, "rev-parse", "HEAD")


def test_a_commit_is_read_and_nothing_of_it_is_run(
    repository: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    work, commit = repository
    monkeypatch.setenv("HOME", str(work.parent))
    monkeypatch.setenv("GIT_TEMPLATE_DIR", str(work / ".git"))
    found = fetch(Wanted(f"git+file://{work}@{commit}"))
    assert found.files == FILES and found.origin.endswith(commit)
    with pytest.raises(DataError, match="not there"):
        fetch(Wanted(f"git+file://{work}@{commit}", recipe="big.yaml"))  # a link
    with pytest.raises(DataError, match="not there"):
        fetch(Wanted(f"git+file://{work}@{commit}", recipe="sub/a.yaml"))
    assert not (work.parent / "executed").exists()
    subprocess.run([str(work.parent / "evil")], stdin=subprocess.DEVNULL, check=True)  # it would have been noticed
    assert (work.parent / "executed").exists()


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("git+file:///nowhere@" + "0" * 40, EnvironmentFailure),
        ("git+file://{work}@main", DataError),
        ("git+file://{work}@{short}", DataError),
        ("git+file://{work}", DataError),
        ("git+file://{work}@" + "0" * 40, DataError),
        ("git+ext::sh -c touch% /tmp/x@" + "0" * 40, DataError),
        ("git+ssh://host/x@" + "0" * 40, DataError),
        ("git+https://host/x@" + "0" * 40, EnvironmentFailure),
        ("git+http://example.org/x@" + "0" * 40, O1kitError),
    ],
)
def test_what_git_must_not_do_is_refused(source: str, error: type[O1kitError], repository: tuple[Path, str]) -> None:
    work, commit = repository
    with pytest.raises(error):
        fetch(Wanted(source.replace("{work}", str(work)).replace("{short}", commit[:12])))


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1.example.org",
        "127.0.0.10",
        "127.0.0.1\\.example.org",
        "127.0.0.1%40example.org",
        "127.0.0.1:80.example.org",
        "127.0.0.1:80@example.org",
        "me:secret@127.0.0.1",
        "127.0.0.1\t.example.org",
        "localhost",
        "",
    ],
)
def test_git_asks_only_this_machine_without_encryption(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("o1kit.sharing.git.fetched", lambda *_: pytest.fail("asked"))
    for source in (f"git+http://{host}/x@" + "0" * 40, f"http://{host}/x@" + "0" * 40):
        with pytest.raises(DataError):
            fetch(Wanted(source, network=True))


# --- servers


def serve(root: Path, *more: object) -> tuple[subprocess.Popen[str], str]:
    script = Path(__file__).with_name("server.py")
    process = subprocess.Popen([sys.executable, script, root, *map(str, more)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().strip()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, repository: tuple[Path, str]) -> Iterator[str]:
    root = tmp_path_factory.mktemp("web")
    (root / "good.o1r").write_bytes(GOOD)
    (root / "plain.yaml").write_text(PLAIN)
    (root / "git").mkdir()
    git(root, "clone", "-q", "--bare", str(repository[0]), "plain.git")
    backend = f"#!/bin/sh\nGIT_HTTP_EXPORT_ALL=1 GIT_PROJECT_ROOT={root} exec git http-backend\n"
    (root / "git/backend").write_text(backend)
    (root / "git/backend").chmod(0o755)
    process, port = serve(root)
    yield f"http://127.0.0.1:{port}"
    process.kill()
    process.wait()


def test_a_file_comes_over_http_from_this_machine(server: str) -> None:
    hashed = {"sha256": sha256(GOOD), "network": True}
    assert fetch(Wanted(f"{server}/good.o1r", **hashed)).files == FILES  # type: ignore[arg-type]
    assert fetch(Wanted(f"{server}/moved", **hashed)).files == FILES  # type: ignore[arg-type]
    single = fetch(Wanted(f"{server}/plain.yaml", sha256=sha256(PLAIN.encode()), network=True))
    assert {*single.files} == {"plain.yaml"}


def test_a_commit_comes_over_http_from_this_machine(server: str, repository: tuple[Path, str]) -> None:
    source = f"{server}/git/backend/plain.git@{repository[1]}"
    assert fetch(Wanted(source, network=True)).files == FILES
    with pytest.raises(EnvironmentFailure, match="--network"):
        fetch(Wanted(source))
    with pytest.raises(EnvironmentFailure, match="302"):
        fetch(Wanted(f"{server}/lead@{repository[1]}", network=True))


@pytest.mark.parametrize(
    ("path", "options", "said"),
    [
        ("/good.o1r", {"sha256": "0" * 64, "network": False}, "--network"),
        ("/good.o1r", {"network": True}, "--sha256"),
        ("/good.o1r", {"sha256": "0" * 64, "network": True}, "its sha256 is"),
        ("/none.o1r", {"sha256": "0" * 64, "network": True}, "answered 404"),
        ("/endless", {"sha256": "0" * 64, "network": True}, "more than 32 MiB"),
        ("/circle", {"sha256": "0" * 64, "network": True}, "redirects more than"),
        ("/elsewhere", {"sha256": "0" * 64, "network": True}, "only https"),
        ("/file", {"sha256": "0" * 64, "network": True}, "redirects to file"),
    ],
)
def test_what_a_server_must_not_do_is_refused(path: str, options: dict[str, object], said: str, server: str) -> None:
    with pytest.raises(O1kitError, match=said):
        fetch(Wanted(server + path, **options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "source",
    ["http://example.org/a.o1r", "ftp://127.0.0.1/a", "https://me:secret@example.org/a.o1r", "http://localhost/a"],
)
def test_addresses_that_are_not_asked(source: str) -> None:
    with pytest.raises(DataError) as found:
        fetch(Wanted(source, sha256="0" * 64, network=True))
    assert "secret" not in str(found.value)


def test_https_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    (tmp_path / "web").mkdir()
    (tmp_path / "web/good.o1r").write_bytes(GOOD)
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    words = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", "/CN=127.0.0.1"]
    files = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", "req", *words, *files], capture_output=True, check=True)
    process, port = serve(tmp_path / "web", certificate, key)
    try:
        wanted = Wanted(f"https://127.0.0.1:{port}/good.o1r", sha256=sha256(GOOD), network=True)
        with pytest.raises(EnvironmentFailure, match=r"(?i)certificate"):
            fetch(wanted)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert fetch(wanted).files == FILES
        with pytest.raises(DataError, match="redirects to http"):
            fetch(Wanted(f"https://127.0.0.1:{port}/plain", sha256=sha256(GOOD), network=True))
    finally:
        process.kill()
        process.wait()


# --- hubs


@pytest.mark.slow
def test_a_cached_hub_repository_needs_no_network(tmp_path: Path) -> None:
    commit = "0123456789" * 4
    cached = tmp_path / "hub/models--somebody--recipe"
    (cached / "blobs").mkdir(parents=True)
    (cached / "refs").mkdir()
    (cached / "refs/main").write_text(commit)
    for name, content in FILES.items():
        blob = cached / "blobs" / sha256(content)
        blob.write_bytes(content)
        place = cached / "snapshots" / commit / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.symlink_to(blob)
    source = f"hf://somebody/recipe@{commit}"
    words = [sys.executable, "-m", "o1kit", "recipe", "pull", source, "--out", str(tmp_path / "got"), "--yes"]
    environment = os.environ | {"HF_HOME": str(tmp_path)}
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 0 and "comes along" in done.stdout, done.stderr
    assert (tmp_path / "got/data/rows.jsonl").read_text() == ROWS


def test_a_hub_repository_needs_its_commit_and_otherwise_the_network() -> None:
    with pytest.raises(DataError, match="name the commit"):
        fetch(Wanted("hf://somebody/recipe"))
    with pytest.raises(EnvironmentFailure, match="--network"):
        fetch(Wanted("hf://somebody/recipe@" + "0123456789" * 4))


def test_wandb_needs_the_network_and_a_digest() -> None:
    with pytest.raises(DataError, match="DIGEST"):
        fetch(Wanted("wandb://me/project/recipe:v0", network=True))
    with pytest.raises(EnvironmentFailure, match="--network"):
        fetch(Wanted("wandb://me/project/recipe:v0@abc"))


def test_an_artifact_that_points_elsewhere_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import wandb

    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "data"))
    (tmp_path / "a.yaml").write_text(PLAIN)
    fine = wandb.Artifact("recipe", "recipe")
    fine.add_file(str(tmp_path / "a.yaml"), "a.yaml")
    _check_entries(fine.manifest.entries, "x")
    for name, reference in (("b.yaml", True), ("a.py", False)):
        bad = wandb.Artifact("recipe", "recipe")
        if reference:
            bad.add_reference("file:///etc/hostname", name, checksum=False)
        else:
            bad.add_file(str(tmp_path / "a.yaml"), name)
        with pytest.raises(DataError):
            _check_entries(bad.manifest.entries, "x")
