"""Virtual environments made from lock files, kept by content."""

from goldmar.environments.store import KEEP, Environment, Environments, cache_folder
from goldmar.environments.uv import places

__all__ = ["KEEP", "Environment", "Environments", "cache_folder", "places"]
