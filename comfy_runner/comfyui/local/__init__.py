"""A real ComfyUI on this machine, set up in a cache folder and run as a process of its own."""
