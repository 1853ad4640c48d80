"""What judges a chain: verifiers that know the answer, and learned models that do not."""
