"""handlers/<model> -> model_store/<model>.mar, the same bytes for the same inputs; and checking one."""

from goldmar.archive.verify import Verified, verify
from goldmar.archive.writer import Built, build
from goldmar.mar import Manifest, digest, read

__all__ = ["Built", "Manifest", "Verified", "build", "digest", "read", "verify"]
