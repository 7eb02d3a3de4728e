"""Servers behind TLS, authentication and a path prefix."""
