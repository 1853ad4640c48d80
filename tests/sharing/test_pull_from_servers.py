"""Recipes from repositories, servers and hubs, all real, some of them hostile."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from o1kit.errors import DataError, EnvironmentFailure, O1kitError
from o1kit.sharing.archive import sha256
from o1kit.sharing.hub import _check_entries
from o1kit.sharing.pull import Wanted, fetch
from tests.sharing.parts import PLAIN, ROWS, folder
from tests.sharing.test_pull import FILES, GOOD

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
    assert found.links == ("big.yaml",)
    assert found.files == FILES and found.origin.endswith(commit)
    with pytest.raises(DataError, match="not there"):
        fetch(Wanted(f"git+file://{work}@{commit}", recipe="big.yaml"))  # a link
    with pytest.raises(DataError, match="not there"):
        fetch(Wanted(f"git+file://{work}@{commit}", recipe="sub/a.yaml"))
    assert not (work.parent / "executed").exists()
    subprocess.run([str(work.parent / "evil")], stdin=subprocess.DEVNULL, check=True)  # it would have been noticed
    assert (work.parent / "executed").exists()


def test_what_git_says_is_told_in_one_line(repository: tuple[Path, str]) -> None:
    with pytest.raises(EnvironmentFailure) as unreachable:
        fetch(Wanted(f"git+file://{repository[0]}/nowhere@" + "0" * 40))
    said = str(unreachable.value)
    assert said.startswith("git fetch failed: '/") and said.endswith(". Check the address.") and "\n" not in said
    with pytest.raises(DataError, match="no such commit") as unknown:
        fetch(Wanted(f"git+file://{repository[0]}@" + "1" * 40))
    assert "\n" not in str(unknown.value) and "fatal" not in str(unknown.value)


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
