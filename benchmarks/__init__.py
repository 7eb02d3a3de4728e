"""Scripts that measure; they print and never fail. `make bench` runs them."""
