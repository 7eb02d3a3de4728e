"""Gates: a run folder held against what its recipes expect, without rendering anything."""
