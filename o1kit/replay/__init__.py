"""Prioritized replay: a sum tree, a buffer over it, and the samplers that feed a Trainer."""
