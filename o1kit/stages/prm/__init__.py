"""Process reward models: a value at the end of every step."""
