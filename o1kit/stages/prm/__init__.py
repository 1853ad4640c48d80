"""Reward models: a value at the end of every step, for a whole chain, or for one chain against another."""
