"""An engine over OpenAI-compatible completions servers: vLLM, SGLang, llama.cpp, `transformers serve`."""

from o1kit.engines.http.draft import Vocabulary
from o1kit.engines.http.engine import LEARNING, HttpEngine, needs
from o1kit.engines.http.probe import Capabilities

__all__ = ["LEARNING", "Capabilities", "HttpEngine", "Vocabulary", "needs"]
