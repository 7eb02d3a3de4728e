"""Checks: what an output of a job is, held against what it may be, and told as findings."""
