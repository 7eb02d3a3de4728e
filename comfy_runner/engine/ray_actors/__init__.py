"""Actors of Ray that each own one ComfyUI, and what a run has of them: an `Engine` for each.

Nothing but this package imports Ray, which comes with the extra ``ray``. On the run's side are `supply` (which actors there are),
`connection` (Ray itself), `engine` (an actor as an engine) and `actor_files`; on the actor's `actor`, `server_process` and, as a
program of its own, `guard`. `messages` is what travels between the two, and `ended` what is left of an actor later.
"""
