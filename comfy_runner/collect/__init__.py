"""From a server's verdict to verified files in their places."""
