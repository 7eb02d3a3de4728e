"""What a person writes: YAML with line numbers, the recipe schema, sizes, overrides, jobs."""
