"""`Reading`: how a reward model is read. It lies beside the weights, so nobody has to guess separators or label tokens.

A model `by: head` is read off its scalar head; one `by: tokens` off its language-model head, as the log-odds of a good
label token against a bad one. Both are read *at* a position: at the last token of a step, or at the mark after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import Field, ValidationError, model_validator

from o1kit.artifacts import write_json
from o1kit.config import Config
from o1kit.errors import DataError
from o1kit.functional.surprise import SIZE

FILE, HEAD = "reward.json", "head.safetensors"
"""How a reward model is read, and its scalar head: files beside its weights."""


class Inner(Config):
    """Calibration of the steps before a chain's end, on top of the reading of its end.

    At its end more is known of a chain, and most labels are there: one calibration for both fits the ends alone.
    """

    scale: Annotated[float, Field(gt=0.0)] = 1.0
    """What the log-odds of the head or the label tokens are multiplied by."""
    bias: float = 0.0
    """What is then added."""
    surprise: Annotated[list[float], Field(max_length=SIZE)] = []
    """Weights of surprise, in place of those of ends."""


class Reading(Config):
    """What a reward model says, and where."""

    format: Literal[1] = 1
    """Version of the file."""
    kind: Literal["prm", "orm", "pairwise"] = "prm"
    """Whether it judges every step, whole chains, or one chain against another."""
    by: Literal["head", "tokens"] = "head"
    """Read off a scalar head, or as the log-odds of two label tokens."""
    good: str = ""
    """With `tokens`: the label of a good step, or `Yes`; one token."""
    bad: str = ""
    """With `tokens`: the label of a bad one; one token."""
    mark: str = ""
    """Text after each step where the step is read; one token. Empty: the last token of the step itself."""
    scale: Annotated[float, Field(gt=0.0)] = 1.0
    """With `tokens`: what the log-odds are multiplied by, from calibration."""
    bias: float = 0.0
    """With `tokens`: what is then added."""

    surprise: Annotated[list[float], Field(max_length=SIZE)] = []
    """Weights of the policy's surprise at its own chain (`functional.surprise`) in the log-odds; empty: not read."""
    inner: Inner | None = None
    """How steps before a chain's end are read; null: as its end is."""

    @model_validator(mode="after")
    def _they_fit_together(self) -> Self:
        if self.surprise and len(self.surprise) != SIZE:
            raise ValueError(f"`surprise` holds {SIZE} weights, or none")
        if self.inner is not None and len(self.inner.surprise) != len(self.surprise):
            raise ValueError("`inner.surprise` holds as many weights as `surprise`")
        if (self.by == "tokens") != bool(self.good) or (self.by == "tokens") != bool(self.bad):
            raise ValueError("`good` and `bad` are needed with `by: tokens`, and only there")
        if self.good and self.good == self.bad:
            raise ValueError("`good` and `bad` must be different tokens")
        if self.by == "head" and (self.scale, self.bias) != (1.0, 0.0):
            raise ValueError("`scale` and `bias` belong to `by: tokens`; a head holds its own")
        return self


class ReadingIds(NamedTuple):
    """The same as token ids of one tokenizer; None for what a reading does without."""

    good: int | None
    bad: int | None
    mark: int | None


def reading_ids(reading: Reading, tokenizer: Any) -> ReadingIds:
    """Label tokens and mark under a tokenizer.

    Raises:
        DataError: one of them is not exactly one token of it, or two are the same one.
    """
    ids = ReadingIds(*(single_token(getattr(reading, name), name, tokenizer) for name in ReadingIds._fields))
    found = [i for i in ids if i is not None]
    if len(set(found)) < len(found):
        raise DataError(f"label tokens and mark must be different tokens, this tokenizer gives the ids {found}.")
    return ids


class Marked(NamedTuple):
    """A chain as a reward model reads it, and the position at which each step is read."""

    token_ids: tuple[int, ...]
    positions: tuple[int, ...]


def marked(prompt: Sequence[int], steps: Sequence[Sequence[int]], mark: int | None) -> Marked:
    """Prompt and steps as one sequence, with the mark after every step; read at the marks.

    Without a mark a step is read at its last token (one without tokens where the step before it is).
    """
    tokens, positions = list(prompt), []
    for step in steps:
        tokens += step if mark is None else [*step, mark]
        positions.append(len(tokens) - 1)
    return Marked(tuple(tokens), tuple(positions))


def single_token(text: str, name: str, tokenizer: Any) -> int | None:
    """The token that a text is; None for no text.

    Raises:
        DataError: it is not exactly one token.
    """
    if not text:
        return None
    ids = tokenizer.encode(text, add_special_tokens=False)
    if len(ids) != 1 or tokenizer.decode(ids) != text:
        shown = ", ".join(repr(tokenizer.decode([i])) for i in ids)
        raise DataError(
            f"the {name} token {text!r} is {len(ids)} tokens for this tokenizer ({shown}), and must be exactly one "
            "that reads the same. Choose a text that is one token; a leading blank often decides."
        )
    return int(ids[0])


def write_reading(directory: Path, reading: Reading) -> None:
    """Writes `reward.json` beside the weights."""
    write_json(directory / FILE, reading.model_dump())


def check_readable(directory: Path) -> None:
    """Raises a DataError for a folder that holds no reward model: no scalar head, nor label tokens in its stead."""
    if not directory.is_dir():
        raise DataError(f"{directory}: there is no such folder. Name that of a reward model.")
    if read_reading(directory).by == "head" and not (directory / HEAD).is_file():
        also = "" if (directory / FILE).is_file() else f", and no {FILE} that names label tokens"
        raise DataError(
            f"{directory}: holds no reward model: there is no {HEAD} in it{also}. Name the folder of a `prm` stage."
        )


def read_reading(directory: Path) -> Reading:
    """How the model in a folder is read; without the file, as a process reward model with a head.

    Raises:
        DataError: the file is malformed.
    """
    path = directory / FILE
    if not path.is_file():
        return Reading()
    try:
        return Reading.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValidationError) as error:
        raise DataError(f"{path}: cannot be read: {error}. Train the reward model again.") from error
