"""Models that recipes name, brought to this machine: fetched once into a cache, checked, and linked where a ComfyUI finds them."""
