"""`Forward`: how the passes of a model are computed. Legend: N tokens of a pass."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from o1kit.engines.torch import lean, native
from o1kit.engines.torch.attention import Pass, running
from o1kit.engines.torch.row_cache import RowCache
from o1kit.models.language_model import LanguageModel


class Forward:
    """The quickest way there is for this model: kernels.c, else `Lean`, else the model itself."""

    def __init__(self, model: LanguageModel, compiled: bool) -> None:
        self.model, self._compiled = model, compiled
        self._native: native.Native | None = None
        self._lean: lean.Lean | None = None
        self._version: Any = None

    def forget(self) -> None:
        """Weights may have changed."""
        self._version = None

    @property
    def forgotten(self) -> bool:
        """True until the model is looked at again."""
        return self._version is None

    def prepare(self, cache: RowCache) -> bool:
        """Takes the model as it is now; True if it is another than before."""
        decoder = self.model.decoder
        found = native.version(decoder)
        if found == self._version:
            return False
        self._version = found
        fits = self._compiled and native.holds(cache) and native.suits(decoder)
        self._native = native.Native(decoder) if fits else None
        self._lean = lean.Lean(decoder) if self._native is None and lean.suits(decoder) else None
        cache.keep_clean(self._native is None)
        return True

    def segmented(self, cache: RowCache) -> bool:
        """Whether passes read the cache segment by segment; kernels.c goes token by token."""
        return self._native is None or not cache.settled

    def hidden(self, tokens_N: Tensor, current: Pass) -> Tensor:
        """Last hidden states [N, hidden] of a pass. The first shows what the cache holds, and is the model's own."""
        if self._native is not None and not self.segmented(current.cache):
            return self._native.hidden(tokens_N, current.rows_N, current.positions_N, current.cache)
        if self._lean is not None:
            with running(current):
                return self._lean.hidden(tokens_N, current.positions_N)
        with running(current, self.model.decoder.config):
            return self.model.hidden(tokens_N[None], position_ids=current.positions_N[None], use_cache=False)[0]
