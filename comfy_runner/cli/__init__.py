"""The command line: one module per command, named as the command; the only part that prints or exits."""
