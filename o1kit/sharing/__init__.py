"""Recipes that travel: those that come with o1kit, locks, archives, and what is fetched from elsewhere."""
