"""What runs graphs: a ComfyUI server by its address, or one that is set up and started on this machine."""
