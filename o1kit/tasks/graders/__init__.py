"""Graders: what decides whether an answer is right, chosen in the recipe by name."""
