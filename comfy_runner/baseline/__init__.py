"""Baselines: pictures of a run that later ones are held against, in a folder that is fit for version control."""
