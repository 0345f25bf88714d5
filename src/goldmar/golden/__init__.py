"""The files of golden/<model>/: drawings in, golden and obtained values in and out, and the way from one to the other.

`cells` is the CSV, `frame` the same values as a pandas DataFrame, `provenance` the TOML beside it, `drawings` the files
to send, `request` how, `stages` what became of each on the way, `recording` which recording counts, `store` which of
them there are and how obtained becomes golden.
"""

from goldmar.golden.cells import cells_of, read_cells, write_cells
from goldmar.golden.drawings import find_drawings
from goldmar.golden.frame import from_frame, to_frame
from goldmar.golden.provenance import read_provenance, write_provenance
from goldmar.golden.recording import UNFINISHED, Recording, Superseded, refuse_unfinished, write_obtained, write_partial
from goldmar.golden.request import OPTIONS, RequestSettings, check_option, read_request
from goldmar.golden.store import approve, read_golden, read_kept_stages

__all__ = [
    "OPTIONS",
    "UNFINISHED",
    "Recording",
    "RequestSettings",
    "Superseded",
    "approve",
    "cells_of",
    "check_option",
    "find_drawings",
    "from_frame",
    "read_cells",
    "read_golden",
    "read_kept_stages",
    "read_provenance",
    "read_request",
    "refuse_unfinished",
    "to_frame",
    "write_cells",
    "write_obtained",
    "write_partial",
    "write_provenance",
]
