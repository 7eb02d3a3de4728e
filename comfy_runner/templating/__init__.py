"""Where graphs come from: templates found, described, and rendered with the values of a recipe."""
