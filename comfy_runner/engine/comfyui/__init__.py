"""One ComfyUI server: HTTP client, websocket events, job verdicts, and the managed local ComfyUI."""
