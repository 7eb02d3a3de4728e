"""The one module in here is found by a Python that has this folder in its PYTHONPATH; see `sitecustomize`."""
