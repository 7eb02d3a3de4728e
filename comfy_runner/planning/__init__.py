"""What is to be done, before any of it: jobs drafted, compared, ordered, held against a run folder and a server."""
