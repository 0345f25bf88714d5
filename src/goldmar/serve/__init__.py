"""What goldmar.backends stands on: processes that serve models, and their logs."""
