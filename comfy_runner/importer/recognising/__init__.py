"""What the nodes of a workflow are for: its passes, texts, models and outputs, and the literals that decide them."""
