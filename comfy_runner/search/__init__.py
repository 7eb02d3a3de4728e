"""The search for the best value of a field: which pictures are rendered next. Functions of what was measured."""
