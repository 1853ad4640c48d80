"""`Draft`: one sample while it arrives, cut where it has to end whatever the server makes of stops.

Servers disagree about the end of a sample: some leave the stop text or the end-of-text token out, some cannot stop at
tokens at all. So none is asked to: a sample is streamed, and the connection closed at the token that ends it. That is
exact, and the few tokens that a server draws before it notices cost little.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from o1kit.engines.http.reply import Chunk, Malformed, Token
from o1kit.functional.secrets import hide
from o1kit.protocols import Sampling
from o1kit.types import Usage


class Vocabulary(NamedTuple):
    """How text becomes tokens and back. `decode` writes special tokens out; `end_ids` are those that may end a text."""

    encode: Callable[[str], list[int]]
    decode: Callable[[Sequence[int]], str]
    eos_id: int
    end_ids: frozenset[int]


@dataclass(slots=True)
class Draft:
    """What of a sample has come so far; `ended` says why nothing more is wanted."""

    words: Vocabulary
    sampling: Sampling
    tokens: list[Token] = field(default_factory=list)
    text: str = ""
    reports_ids: bool = False
    """The server says which tokens it drew."""
    reports_logprobs: bool = False
    """The server says how probable they were."""
    ended: Literal["", "step", "answer", "length"] = ""
    _usage: tuple[int | None, int, int] = (None, 0, 0)
    """Prompt and cached tokens as the server counts them, and generated ones."""

    def feed(self, chunk: Chunk) -> bool:
        """Adds an event and returns True when nothing that follows is wanted.

        Raises:
            Malformed: it makes no sense.
        """
        self._count(chunk)
        if self.ended:  # only the server's count of tokens is still to come
            return bool(chunk.text or chunk.tokens)
        self.reports_ids = self.reports_ids or any(token.id is not None for token in chunk.tokens)
        self.reports_logprobs = self.reports_logprobs or any(token.logprob is not None for token in chunk.tokens)
        self.text += chunk.text
        if self.reports_ids:
            self._take((*self._withheld(chunk), *chunk.tokens))
        elif chunk.text and (self.sampling.stop_ids or self.sampling.stop_strings):
            # The last token may still grow with the text that follows it.
            self._take([Token(i, None) for i in self.words.encode(self.text)[:-1]])
            if not self.ended:
                self.tokens.clear()
        if chunk.finish is not None and not self.ended:
            self._finish(chunk.finish)
        return self.cut

    @property
    def cut(self) -> bool:
        """True when it ended at a stop that the server knows nothing of."""
        return self.ended == "step"

    def usage(self, prompt: int) -> Usage:
        """What the server computed for it; a prompt of `prompt` tokens where it does not say."""
        total, cached, generated = self._usage
        total = prompt if total is None else total
        cached = min(cached, total)
        return Usage(total - cached, cached, max(generated, len(self.tokens)))

    def _count(self, chunk: Chunk) -> None:
        total, cached, generated = self._usage
        prompt = total if chunk.prompt is None else chunk.prompt
        self._usage = (prompt, max(cached, chunk.cached), max(generated, chunk.generated or 0, chunk.drawn or 0))

    def _take(self, tokens: Sequence[Token]) -> None:
        """Adds tokens up to the one that ends the sample."""
        for token in tokens:
            if token.id is None:
                raise Malformed("some tokens have ids and some have none")
            self.tokens.append(token)
            if token.id == self.words.eos_id:
                self.ended = "answer"
            elif token.id in self.sampling.stop_ids or self._holds_stop():
                self.ended = "step"
            if self.ended:
                return

    def _holds_stop(self) -> bool:
        """True when the text of the last tokens holds a stop string (a token adds a byte or more)."""
        strings = self.sampling.stop_strings
        if not strings:
            return False
        tail = self.tokens[-max(len(s.encode()) for s in strings) - 3 :]
        text = self.words.decode([token.id for token in tail if token.id is not None])
        return any(s in text for s in strings)

    def _withheld(self, chunk: Chunk) -> list[Token]:
        """Tokens that llama.cpp counts but does not report: parts of a character, up to the one that completes it.

        Their log-probabilities are unknown here; the last part, the text and the number of parts tell which they are.
        """
        if chunk.drawn is None or not chunk.tokens:
            return []
        missing = chunk.drawn - len(self.tokens) - len(chunk.tokens)
        if missing <= 0:
            return []
        ids = self.words.encode(chunk.text)
        told = [token.id for token in chunk.tokens]
        if len(ids) != missing + len(told) or ids[missing:] != told:
            raise Malformed(f"{missing} tokens of {chunk.text!r} are missing, and the tokenizer cannot tell which")
        return [Token(i, None) for i in ids[:missing]]

    def _finish(self, reason: str) -> None:
        """The server has nothing more: its own end of text, or the limit."""
        if reason not in ("stop", "length"):
            raise Malformed(f"a sample ended for the reason {hide(reason)[:40]!r}")
        if not self.reports_ids:
            self.tokens.clear()
            self._take([Token(i, None) for i in self.words.encode(self.text)])
            if self.ended:
                return
        self.ended = "length" if reason == "length" else "answer"
        if reason == "length":
            return
        if self.reports_ids and self.tokens and self.tokens[-1].id in self.words.end_ids:
            # A model may have several ends of text (SmolLM2 has two); for whoever reads the chain they are one.
            last = self.tokens.pop()
            self.tokens.append(Token(self.words.eos_id, last.logprob, last.alternatives))
        else:
            self.tokens.append(Token(self.words.eos_id, None))
