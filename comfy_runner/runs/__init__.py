"""Many jobs: plan, run folder, lanes to servers, collected files."""
