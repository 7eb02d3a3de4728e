"""Sweeps: axes with all their values, expanded into jobs."""
