"""What can be told of the stages that will run before the first of them does, which may take hours.

Label tokens and marks are held against the tokenizer: that of the recipe's own model, which all its stages share.
Nothing here imports torch unless something is wrong with a Hugging Face model's label token, or its folder has no
tokenizer.json: then transformers has the last word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path as FilePath
from typing import Any, NamedTuple, cast

from o1kit.config import Config
from o1kit.errors import DataError, O1kitError
from o1kit.functional.preference import YES_NO, begins_word
from o1kit.models.config import HfModelConfig, ScratchModelConfig
from o1kit.models.reading import Reading, check_readable, reading_ids, single_token
from o1kit.plan import Plan, PlannedStage
from o1kit.recipe.judges import placed
from o1kit.recipe.nodes import Path
from o1kit.rewards.config import AskedSection, ConstitutionConfig, JudgeRewardConfig, LabelReplyConfig, Part
from o1kit.stages.labels.config import JudgeLabelsConfig, LabelsConfig
from o1kit.stages.prm.config import PrmConfig
from o1kit.tasks.suite import Suite


class _Wanted(NamedTuple):
    """A text that a tokenizer must be able to write, by its place in the recipe."""

    path: Path
    check: Callable[[Any], object]
    """Raises a DataError with a tokenizer that cannot."""
    source: str | None = None
    """Whose tokenizer: a folder or hub id; None: the recipe's own model's."""


def faults(plan: Plan, working: Sequence[PlannedStage], suite: Suite, base: FilePath) -> Iterator[O1kitError]:
    """What would stop the stages that will run: a judge's folder that is none, label tokens that are not tokens.

    Args:
        plan: what is run.
        working: the stages of it that will run.
        suite: its problems.
        base: folder that relative paths in the recipe start from.
    """
    tokenizers = _Tokenizers(plan.recipe, suite)
    for stage in working:
        place = ("stages", plan.stages.index(stage))
        folder = getattr(stage.config, "judge_folder", None)
        if folder is not None:
            wrong = _unreadable(base / folder)
            if wrong is not None:
                yield wrong.at(plan.recipe.where(*place, "judge_folder"))
        for wanted in _wanted(stage.config, place):
            error = _fault(wanted, tokenizers)
            if error is not None:
                yield error.at(plan.recipe.where(*wanted.path))
                break


def _unreadable(folder: FilePath) -> O1kitError | None:
    if not folder.is_dir():
        return DataError(f"{folder}: there is no such folder. Check `judge_folder`.")
    try:
        check_readable(folder)
    except DataError as error:
        return error
    return None


def _wanted(stage: Any, place: Path) -> Iterator[_Wanted]:
    """The label tokens, marks and words that a stage reads."""
    if isinstance(stage, PrmConfig):
        said = stage.reading.model_dump(exclude={"surprise"})
        path = (*place, "reading")
        names = [name for name in ("good", "bad", "mark") if said[name]]
        yield from (_Wanted((*path, name), partial(single_token, said[name], name)) for name in names)
        if names:
            yield _Wanted(path, partial(reading_ids, Reading(kind=stage.objective.kind, **said)))
    if isinstance(stage, LabelsConfig) and isinstance(stage.source, JudgeLabelsConfig):
        yield from (_Wanted((*place, "source"), partial(_written, word)) for word in YES_NO)
    for key in ("judge", "reward"):
        config = getattr(stage, key, None)
        if isinstance(config, Config):
            for path, part in placed(cast(Any, config), (*place, key)):
                yield from _words(path, part)


def _words(path: Path, part: Part) -> Iterator[_Wanted]:
    """The words that an asked model replies with."""
    engine = part.engine if isinstance(part, AskedSection) else None
    source = None if engine is None else engine.tokenizer
    if isinstance(part, JudgeRewardConfig) and isinstance(part.reply, LabelReplyConfig):
        for name in ("good", "bad"):
            yield _Wanted((*path, "reply", name), partial(_written, getattr(part.reply, name)), source)
    elif isinstance(part, ConstitutionConfig):
        yield from (_Wanted(path, partial(_written, word), source) for word in YES_NO)


def _written(word: str, tokenizer: Any) -> None:
    """Makes sure that a reply's first token can be told to begin a word.

    Raises:
        DataError: no token of the word is a text that begins it.
    """
    for form in (word, f" {word}"):
        texts = (tokenizer.decode([i]) for i in tokenizer.encode(form, add_special_tokens=False))
        if begins_word(next((text for text in texts if text.strip()), ""), word):
            return
    raise DataError(
        f"this tokenizer has no token that the word {word!r} begins with, so no reply could be told to be it. "
        "Choose a word of plain letters."
    )


def _fault(wanted: _Wanted, tokenizers: _Tokenizers) -> DataError | None:
    """What is wrong with a text, if no tokenizer that the model may turn out to have can write it."""
    found = None
    try:
        for tokenizer in tokenizers.of(wanted.source):
            try:
                wanted.check(tokenizer)
            except DataError as error:
                found = error
            else:
                return None
    except O1kitError:  # a tokenizer or problems that cannot be read are told for themselves
        pass
    return found


class _Tokenizers:
    """The tokenizers that a recipe's models have, as far as they are known beforehand; each is read once."""

    def __init__(self, recipe: Any, suite: Suite) -> None:
        self.recipe, self.suite = recipe, suite
        self._known: dict[str | None, tuple[list[Any], Iterator[Any]]] = {}

    def of(self, source: str | None) -> Iterator[Any]:
        """A model's tokenizer: first as it is quickly read, then as it is. None where it is not known."""
        found, further = self._known.setdefault(source, ([], self._read(source)))
        yield from found
        for tokenizer in further:
            found.append(tokenizer)
            yield tokenizer

    def _read(self, source: str | None) -> Iterator[Any]:
        model = self.recipe.model
        if source is None and isinstance(model, ScratchModelConfig):
            from o1kit.models.tokenizer import phrases_in, plain_char_tokenizer

            phrases = phrases_in(self.recipe, model.tokenizer.phrases)
            yield plain_char_tokenizer(phrases)
            yield plain_char_tokenizer(phrases, (problem.prompt for problem in self.suite.problems("train")))
        elif source is not None or isinstance(model, HfModelConfig):
            yield from _from_files(source or model.source)


def _from_files(source: str) -> Iterator[Any]:
    from tokenizers import Tokenizer

    from o1kit.models.tokenizer import PlainTokenizer

    file: Any = FilePath(source) / "tokenizer.json"
    if not FilePath(source).is_dir():
        from huggingface_hub import try_to_load_from_cache

        file = try_to_load_from_cache(source, "tokenizer.json") if source.count("/") == 1 else None
        if not isinstance(file, str):
            return
    with suppress(Exception):  # of a damaged file both libraries raise whatever comes; it is told where it is read
        if FilePath(file).is_file():
            yield PlainTokenizer(Tokenizer.from_file(str(file)))
        from o1kit.models.load import load_tokenizer

        yield load_tokenizer(source).tokenizer
