"""The page of a run while it goes on, served on this machine: pictures appear as they are finished, and what servers do is seen."""
