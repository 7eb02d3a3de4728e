"""A run, live or past, from outside: cancelled, cleaned, repaired."""
