"""From the files of ComfyUI's page to what its server runs: the UI format made into an API-format graph, without a browser."""
