"""Evaluation: every policy, every search, every split."""
