"""Prompts with names, alternatives and wildcards in them, and the words that they amount to."""
