"""Carries out a plan: posts, follows and collects submissions, retries failed jobs, and cleans up after interruptions."""
