"""Engines run graphs: a ComfyUI server at a given address, or one that is installed and started on this machine."""
