"""Proximal policy optimisation on searched trajectories, with prioritized replay."""
