"""Runs under control: who works in a run's folder, how far it is, how to stop it. No torch, only files and signals."""
