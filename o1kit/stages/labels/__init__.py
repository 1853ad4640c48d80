"""Step labels and preference pairs: what reward models learn from, with where it comes from."""
