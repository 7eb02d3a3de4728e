"""The run folder: ledger, sidecars, lock, where pictures lie. No server, and nothing of what is to be done."""
