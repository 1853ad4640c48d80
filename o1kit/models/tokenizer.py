"""A small tokenizer made of characters and whole phrases, in Hugging Face format."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers

from o1kit import registry

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, EOS, UNK = "<pad>", "<eos>", "<unk>"


class PlainTokenizer:
    """A tokenizer without transformers, and so without torch: enough to look at how a text is split."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer

    def encode(self, text: str, add_special_tokens: bool = False) -> list[int]:
        """The tokens of a text."""
        return list(self._tokenizer.encode(text, add_special_tokens=add_special_tokens).ids)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens, special ones included."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=False))


def build_char_tokenizer(phrases: Iterable[str], texts: Iterable[str] = ()) -> PreTrainedTokenizerFast:
    """One token a phrase (longest match first), else one a character.

    All printable ASCII characters are known, and every character of `texts`.
    """
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=_characters(phrases, texts),
        pad_token=PAD,
        eos_token=EOS,
        unk_token=UNK,
        clean_up_tokenization_spaces=False,
        padding_side="right",
    )


def plain_char_tokenizer(phrases: Iterable[str], texts: Iterable[str] = ()) -> PlainTokenizer:
    """What `build_char_tokenizer` builds, without transformers."""
    tokenizer = _characters(phrases, texts)
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in (PAD, EOS, UNK)])
    return PlainTokenizer(tokenizer)


def phrases_in(recipe: Any, phrases: Iterable[str] = ()) -> list[str]:
    """The phrases that are one token each: those that are given, and those of the teachers of a recipe's problems."""
    found = list(phrases)
    for split in recipe.tasks.values():
        for source in split.sources:
            name = getattr(source, "teacher", None) or getattr(source, "generator", None)
            if name in registry.names("teachers"):
                found.extend(registry.lookup("teachers", name)().phrases)
    return found


def _characters(phrases: Iterable[str], texts: Iterable[str]) -> Tokenizer:
    whole = sorted({p for p in phrases if len(p) > 1}, key=lambda p: (-len(p), p))
    characters = sorted(set(string.printable[:95] + "\n").union(*texts))
    vocabulary = {token: i for i, token in enumerate([PAD, EOS, UNK, *characters, *whole])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNK))
    pattern = "|".join([*(re.escape(p) for p in whole), r"[\s\S]"])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), behavior="removed", invert=True)
    tokenizer.decoder = decoders.Fuse()
    return tokenizer
