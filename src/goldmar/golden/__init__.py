"""The files of golden/<model>/: drawings in, golden and obtained values in and out, and the way from one to the other.

`cells` is the CSV, `frame` the same values as a pandas DataFrame, `provenance` the TOML beside it, `drawings` the files
to send, `stages` what became of each on the way, `store` which of them there are and how obtained becomes golden.
"""

from goldmar.golden.cells import cells_of, read_cells, write_cells
from goldmar.golden.drawings import find_drawings
from goldmar.golden.frame import from_frame, to_frame
from goldmar.golden.provenance import read_provenance, write_provenance
from goldmar.golden.store import approve, read_golden, read_kept_stages, write_obtained, write_obtained_stages

__all__ = [
    "approve",
    "cells_of",
    "find_drawings",
    "from_frame",
    "read_cells",
    "read_golden",
    "read_kept_stages",
    "read_provenance",
    "to_frame",
    "write_cells",
    "write_obtained",
    "write_obtained_stages",
    "write_provenance",
]
