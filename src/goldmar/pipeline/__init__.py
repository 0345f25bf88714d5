"""What the commands do, in ordered steps. The edges import from the modules here.

`selection` finds the project and the selected models, `jobs` has check and record, `approval` the way from obtained to
golden, `archives`, `environments`, `goldens` and `servers` what these need, `bisect` (with `candidates` and `trials`)
the search between two lock files, `affected` what a change reaches, `project` what init writes, `reports` the reports.
"""
