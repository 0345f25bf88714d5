"""Virtual environments made from lock files, kept by content."""

from goldmar.environments.store import KEEP, Environment, Environments, cache_folder

__all__ = ["KEEP", "Environment", "Environments", "cache_folder"]
