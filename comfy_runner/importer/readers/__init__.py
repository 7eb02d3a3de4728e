"""Readers of files: each finds, in one kind of file, the texts that say how a picture was made."""
