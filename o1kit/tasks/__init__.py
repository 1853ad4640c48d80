"""Where problems come from, and the splits a recipe makes of them."""
