"""Archives: the same bytes for the same content, and nothing but plain, named, hashed files comes out of them."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from o1kit.errors import DataError
from o1kit.sharing.archive import MAX_MEMBER, MAX_MEMBERS, MAX_TOTAL, archive_bytes, manifest_of, read_archive
from o1kit.sharing.names import distinct, safe_name
from tests.sharing.parts import PLAIN, member, packed, with_manifest

FILES = {"plain.yaml": PLAIN.encode(), "data/rows.jsonl": b"{}\n"}


def test_an_archive_is_the_same_whatever_the_order_and_reads_back() -> None:
    one = archive_bytes(manifest_of("plain.yaml", None, FILES), FILES)
    turned = dict(reversed(FILES.items()))
    assert one == archive_bytes(manifest_of("plain.yaml", None, turned), turned)
    assert read_archive(one, "a.o1r")[1] == FILES
    with tarfile.open(fileobj=io.BytesIO(one)) as tar:  # the standard library agrees on what it is
        assert [m.name for m in tar] == ["manifest.json", "data/rows.jsonl", "plain.yaml"]
        assert {(m.uid, m.uname, m.mtime, m.mode) for m in tar.getmembers()} == {(0, "", 0, 0o644)}


def test_what_another_program_packed_is_read_too() -> None:
    assert read_archive(packed(*with_manifest(FILES)), "a.o1r")[1] == FILES


HOSTILE = {
    "absolute": member("/etc/o1kit.yaml"),
    "parent": member("../out.yaml"),
    "parent inside": member("a/../../out.yaml"),
    "backslash": member("a\\..\\out.yaml"),
    "drive": member("C:out.yaml"),
    "hidden": member(".bashrc.yaml"),
    "hidden folder": member(".git/config.yaml"),
    "option": member("-rf.yaml"),
    "control": member("a\x1b[2J.yaml"),
    "newline": member("a\nb.yaml"),
    "right to left": member("a\u202egnp.yaml"),
    "device name": member("con.yaml"),
    "no name": member(""),
    "code": member("evil.py"),
    "weights": member("model.safetensors"),
    "no ending": member("Makefile"),
    "symlink": member("a.yaml", b"", type=tarfile.SYMTYPE, linkname="/etc/passwd"),
    "hard link": member("a.yaml", b"", type=tarfile.LNKTYPE, linkname="plain.yaml"),
    "device": member("a.yaml", b"", type=tarfile.CHRTYPE, devmajor=1, devminor=5),
    "disk": member("a.yaml", b"", type=tarfile.BLKTYPE),
    "pipe": member("a.yaml", b"", type=tarfile.FIFOTYPE),
    "folder": member("a.yaml", b"", type=tarfile.DIRTYPE),
    "twice": member("plain.yaml", b"other"),
    "case": member("PLAIN.yaml"),
    "unicode form": member("ｐlain.yaml"),
    "file and folder": member("plain.yaml/a.yaml"),
    "not in the manifest": member("other.yaml"),
    "too deep": member("/".join("abcdefghij") + ".yaml"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_member_is_refused(kind: str) -> None:
    with pytest.raises(DataError) as found:
        read_archive(packed(*with_manifest(FILES), HOSTILE[kind]), "a.o1r")
    assert str(found.value).isprintable()


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_extended_headers_are_refused(form: int) -> None:
    long = member("a" * 150 + ".yaml")
    with pytest.raises(DataError, match="plain files only"):
        read_archive(packed(*with_manifest(FILES), long, form=form), "a.o1r")


def test_a_size_that_lies_is_refused() -> None:
    for size in (MAX_MEMBER + 1, 8**11 - 1, 4096):
        info = tarfile.TarInfo("a.yaml")
        info.size = size
        tail = info.tobuf(tarfile.GNU_FORMAT)
        whole = gzip.decompress(packed(*with_manifest(FILES)))
        end = whole.rstrip(b"\0")
        start = whole[: -(-len(end) // 512) * 512]
        with pytest.raises(DataError):
            read_archive(gzip.compress(start + tail), "a.o1r")
    with pytest.raises(DataError):  # a negative size in base 256
        read_archive(gzip.compress(start + _resized(tail, b"\xff" * 12)), "a.o1r")


def _resized(header: bytes, size: bytes) -> bytes:
    changed = header[:124] + size + header[136:148] + b" " * 8 + header[156:]
    return changed[:148] + b"%06o\0 " % sum(changed) + changed[156:]


def test_a_bomb_is_stopped_while_it_unpacks() -> None:
    bomb = gzip.compress(b"\0" * (MAX_TOTAL * 3), 1)
    assert len(bomb) < 2**20
    tracemalloc.start()
    with pytest.raises(DataError, match="unpacks to more"):
        read_archive(bomb, "bomb.o1r")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < MAX_TOTAL * 2.5


def test_too_many_members_are_refused() -> None:
    many = [member(f"{n}.yaml", b"") for n in range(MAX_MEMBERS)]
    with pytest.raises(DataError, match="more than"):
        read_archive(packed(*with_manifest(FILES), *many), "a.o1r")


@pytest.mark.parametrize("cut", [0, 1, 30, 500])
def test_a_cut_archive_is_refused(cut: int) -> None:
    good = packed(*with_manifest(FILES))
    with pytest.raises(DataError):
        read_archive(good[:cut], "a.o1r")
    with pytest.raises(DataError):
        read_archive(good[:-1], "a.o1r")
    with pytest.raises(DataError, match="after its end"):
        read_archive(good + good, "a.o1r")


def test_every_changed_byte_of_the_content_is_noticed() -> None:
    whole = bytearray(gzip.decompress(packed(*with_manifest({"plain.yaml": b"o1kit: 1\n"}))))
    whole[whole.index(b"o1kit: 1\n")] ^= 1
    with pytest.raises(DataError, match="not what the manifest says"):
        read_archive(gzip.compress(bytes(whole)), "a.o1r")


def test_a_damaged_archive_is_refused_or_holds_the_very_files() -> None:
    """No other content, no traceback."""
    whole = gzip.decompress(packed(*with_manifest(FILES)))
    chance = random.Random(0)
    refused = 0
    for _ in range(1000):
        try:
            assert read_archive(gzip.compress(_damaged(whole, chance), 1), "a.o1r")[1] == FILES
        except DataError:
            refused += 1
    assert refused > 500


def _damaged(whole: bytes, chance: random.Random) -> bytearray:
    """Bytes changed, cut out, put in and moved, with checksums of headers repaired."""
    changed = bytearray(whole)
    for _ in range(chance.randint(1, 5)):
        i, j, how = chance.randrange(len(changed)), chance.randrange(len(changed)), chance.randrange(4)
        if how == 0:
            changed[i] = chance.randrange(256)
        elif how == 1:
            del changed[i : i + chance.randrange(600)]
        elif how == 2:
            changed[i:i] = chance.randbytes(chance.randrange(20))
        else:
            changed[i : i + 512] = changed[j : j + 512]
    for start in range(0, len(changed) - 511, 512):
        if changed[start + 257 : start + 262] == b"ustar":
            changed[start : start + 512] = _resized(changed[start : start + 512], changed[start + 124 : start + 136])
    return changed


@pytest.mark.parametrize("text", [b"{}", b"[]", b"[" * 100_000, b'{"o1r": 2}', b"\xff", b'{"o1r":1,"x":"\\u001b[2J"}'])
def test_a_manifest_without_sense_is_refused(text: bytes) -> None:
    with pytest.raises(DataError) as found:
        read_archive(packed(member("manifest.json", text)), "a.o1r")
    assert str(found.value).isprintable()


def test_a_manifest_that_names_what_is_not_there_is_refused() -> None:
    with pytest.raises(DataError, match="names 'other"):
        read_archive(packed(*with_manifest(FILES, "other.yaml")), "a.o1r")


def test_a_zip_is_no_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.o1r", "w") as made:
        made.writestr("../plain.yaml", PLAIN)
    with pytest.raises(DataError, match="no archive of o1kit"):
        read_archive((tmp_path / "a.o1r").read_bytes(), "a.o1r")


@pytest.mark.parametrize("name", ["a.yaml", "a b/c-d+e_1.jsonl", "recipes/x/y.lock", "配方.yaml", "README.md", "é.yml"])
def test_plain_names_are_fine(name: str) -> None:
    assert safe_name(name) == name


def test_names_that_are_one_file_elsewhere_are_refused() -> None:
    distinct(["a.yaml", "b.yaml", "a/b.yaml"])
    for pair in (["é.yaml", "e\u0301.yaml"], ["straße.yaml", "STRASSE.yaml"], ["A/x.yaml", "a/X.yaml"]):
        with pytest.raises(DataError):
            distinct(pair)


def test_what_could_not_be_read_back_is_not_packed() -> None:
    for name in ("../a.yaml", "a.py", "x" * 120 + ".yaml"):
        files = {name: b""}
        with pytest.raises(DataError):
            archive_bytes(manifest_of(name, None, files), files)
