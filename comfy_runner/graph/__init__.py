"""The API-format graph: rendered from a template, checked against a server's object_info."""
