"""Direct preference optimisation: a policy learns from pairs of chains which of two is better."""
