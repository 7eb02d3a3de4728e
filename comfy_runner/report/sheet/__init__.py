"""The contact sheet of a run: a labelled grid of its pictures as one PNG."""
