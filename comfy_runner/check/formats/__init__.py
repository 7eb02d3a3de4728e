"""Formats that CI systems read: each is a function of a `CheckedRun`, in a file of its own. They print, and judge nothing."""
