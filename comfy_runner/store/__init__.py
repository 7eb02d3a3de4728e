"""The run folder and its parts: ledger, sidecars, lock and the store of its pictures. Nothing here asks a server or plans work."""
