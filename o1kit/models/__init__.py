"""Language models, tokenizers, heads and adapters."""
