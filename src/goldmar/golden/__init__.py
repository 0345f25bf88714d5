"""The files of golden/<model>/: drawings in, golden and obtained values in and out, and the way from one to the other.

`csv_file` is the CSV, `frame` the same values as a pandas DataFrame, `provenance` the TOML beside it, `drawings` the
files to send, `request` how, `stage_file` what became of each on the way, `recording` which recording counts, `store`
which of them there are and how obtained becomes golden.
"""

from goldmar.golden.csv_file import read_values, values_of, write_values
from goldmar.golden.drawings import find_drawings
from goldmar.golden.frame import from_frame, to_frame
from goldmar.golden.provenance import read_provenance, write_provenance
from goldmar.golden.recording import UNFINISHED, Recording, Superseded, refuse_unfinished, write_obtained, write_partial
from goldmar.golden.request import RequestSettings, check_options, read_request
from goldmar.golden.store import approve, read_golden, read_kept_stages

__all__ = [
    "UNFINISHED",
    "Recording",
    "RequestSettings",
    "Superseded",
    "approve",
    "check_options",
    "find_drawings",
    "from_frame",
    "read_golden",
    "read_kept_stages",
    "read_provenance",
    "read_request",
    "read_values",
    "refuse_unfinished",
    "to_frame",
    "values_of",
    "write_obtained",
    "write_partial",
    "write_provenance",
    "write_values",
]
