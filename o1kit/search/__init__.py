"""Searches: ways to spend tokens on one problem. One a file; the maths they share is in `functional`."""
