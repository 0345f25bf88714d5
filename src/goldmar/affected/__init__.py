"""Which models a change reaches, and why: git tells what differs, the rules place it.

`git` reads a change, `recipes` what each model is made of, `locks` what a changed lock file means; `rules` joins them.
None of it needs pandas or numpy: it has to be quick.
"""

from goldmar.affected.git import Diff, read_changes, read_file, read_tree
from goldmar.affected.recipes import Layout
from goldmar.affected.rules import select, select_all

__all__ = [
    "Diff",
    "Layout",
    "read_changes",
    "read_file",
    "read_tree",
    "select",
    "select_all",
]
