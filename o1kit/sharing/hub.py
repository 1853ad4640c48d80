"""Files of a Hugging Face repository or a W&B artifact, through their own libraries, at one revision only."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from o1kit.errors import DataError, EnvironmentFailure
from o1kit.sharing.archive import MAX_MEMBER, MAX_MEMBERS, MAX_TOTAL, SUFFIX, read_bounded
from o1kit.sharing.names import TYPES, distinct, safe_name


@dataclass(frozen=True, slots=True)
class HubCommit:
    """The files of one commit of a Hugging Face repository: cached ones, and with the network any other."""

    repository: str
    kind: str
    """`model` or `dataset`."""
    commit: str
    network: bool

    def names(self) -> list[str]:
        """Names of all files; without the network, of those in the local cache."""
        from huggingface_hub import HfApi, snapshot_download

        options: dict[str, Any] = {"repo_id": self.repository, "repo_type": self.kind, "revision": self.commit}
        with _explained(f"hf://{self.repository}@{self.commit}", self.network):
            if self.network:
                return sorted(HfApi().list_repo_files(**options))
            root = Path(snapshot_download(**options, local_files_only=True))
            return sorted(f.relative_to(root).as_posix() for f in root.rglob("*") if f.is_file())

    def read(self, name: str) -> bytes | None:
        """A file's content, or None where there is none."""
        from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

        options: dict[str, Any] = {"repo_id": self.repository, "repo_type": self.kind, "revision": self.commit}
        with _explained(f"hf://{self.repository}@{self.commit}", self.network):
            try:
                return read_bounded(Path(hf_hub_download(filename=name, **options, local_files_only=True)))
            except LocalEntryNotFoundError:
                if not self.network:
                    return None
            try:
                size = get_hf_file_metadata(hf_hub_url(filename=name, **options)).size
                if size is None or size > MAX_MEMBER:
                    raise DataError(f"{name!r}: {size} bytes: more than a recipe needs.")
                return read_bounded(Path(hf_hub_download(filename=name, **options)))
            except EntryNotFoundError:
                return None

    def links(self, names: Iterable[str] = ()) -> list[str]:
        """None: those of the cache are the library's own."""
        return []


@contextmanager
def _explained(what: str, network: bool) -> Iterator[None]:
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        yield
    except HFValidationError as error:
        raise DataError(f"{what}: {error}. Write hf://user/repository@COMMIT.") from None
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        hint = "Check the address and the network." if network else "It is not in the local cache: add --network."
        raise EnvironmentFailure(f"{what}: {first} {hint}") from None


def artifact_files(name: str, digest: str) -> dict[str, bytes]:
    """The files of a W&B artifact.

    Args:
        name: `entity/project/artifact:version`.
        digest: the artifact's digest, as W&B shows it.

    Raises:
        DataError: it has another digest, refers to files elsewhere, or is more than a recipe needs.
        EnvironmentFailure: it cannot be reached, or no key is set.
    """
    import wandb

    if not (os.environ.get("WANDB_API_KEY") or wandb.api.api_key):
        raise EnvironmentFailure(f"wandb://{name}: no W&B key is set. Run `wandb login`, or set WANDB_API_KEY.")
    try:
        artifact = wandb.Api(timeout=30).artifact(name)
        if artifact.digest != digest:
            raise DataError(f"wandb://{name}: its digest is {artifact.digest}, not {digest}. Ask its author.")
        _check_entries(artifact.manifest.entries, name)
        with tempfile.TemporaryDirectory(prefix="o1kit-") as folder:
            root = Path(artifact.download(root=folder, skip_cache=True))
            artifact.verify(root=str(root))
            return {f.relative_to(root).as_posix(): read_bounded(f) for f in root.rglob("*") if f.is_file()}
    except (wandb.Error, ValueError, OSError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise EnvironmentFailure(f"wandb://{name}: {first} Check the name, the key and the network.") from None


def _check_entries(entries: Mapping[str, Any], name: str) -> None:
    """Makes sure, before anything is fetched, that the files are few, small, plain, and stay in their folder."""
    total = sum(entry.size or 0 for entry in entries.values())
    if (
        len(entries) > MAX_MEMBERS
        or total > MAX_TOTAL
        or max((e.size or 0 for e in entries.values()), default=0) > MAX_MEMBER
    ):
        raise DataError(f"wandb://{name}: {len(entries)} files, {total} bytes: more than a recipe needs.")
    for file, entry in entries.items():
        safe_name(file, (*TYPES, SUFFIX))
        if entry.ref is not None:
            raise DataError(f"wandb://{name}: {file!r} lies elsewhere ({entry.ref}). Ask for an archive (.o1r).")
    distinct(entries)
