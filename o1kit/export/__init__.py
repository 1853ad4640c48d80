"""Finished stages as folders that other programs read."""
