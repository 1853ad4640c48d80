"""Preference pairs: two chains of one problem, one of them better."""
