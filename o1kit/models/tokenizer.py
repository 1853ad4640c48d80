"""A small tokenizer made of characters and whole phrases, in Hugging Face format."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

PAD, EOS, UNK = "<pad>", "<eos>", "<unk>"


def build_char_tokenizer(phrases: Iterable[str], texts: Iterable[str] = ()) -> PreTrainedTokenizerFast:
    """One token a phrase (longest match first), else one a character.

    All printable ASCII characters are known, and every character of `texts`.
    """
    whole = sorted({p for p in phrases if len(p) > 1}, key=lambda p: (-len(p), p))
    characters = sorted(set(string.printable[:95] + "\n").union(*texts))
    vocabulary = {token: i for i, token in enumerate([PAD, EOS, UNK, *characters, *whole])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNK))
    pattern = "|".join([*(re.escape(p) for p in whole), r"[\s\S]"])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(pattern), behavior="removed", invert=True)
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token=PAD,
        eos_token=EOS,
        unk_token=UNK,
        clean_up_tokenization_spaces=False,
        padding_side="right",
    )
