"""The in-process engine: continuous batching over a key-value cache with shared prefixes."""

from o1kit.engines.torch.engine import TorchEngine

__all__ = ["TorchEngine"]
