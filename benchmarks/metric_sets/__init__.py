"""Sets of pictures that the metrics are tried on: what is right is known of each, and half of the contents are held out."""
