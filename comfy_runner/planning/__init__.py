"""Planning: jobs are drafted, compared, ordered, and checked against a run folder and a server before anything is rendered."""
