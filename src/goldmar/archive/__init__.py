"""handlers/<model> -> model_store/<model>.mar, the same bytes for the same inputs; and checking one."""

from goldmar.archive.labels import line, write_labels
from goldmar.archive.verify import verify
from goldmar.archive.writer import Built, build, source_digest
from goldmar.mar import Manifest, digest, read

__all__ = ["Built", "Manifest", "build", "digest", "line", "read", "source_digest", "verify", "write_labels"]
