"""Doing it: submissions posted, followed and collected, retries, what is taken back and cleaned up."""
