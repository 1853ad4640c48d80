"""Pure maths: tensors or numbers in, the same out. No input or output, no state, no knowledge of models."""
