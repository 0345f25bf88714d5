"""What the commands do: the floors joined, in ordered steps. The edges import from the modules here.

`selection` finds the project and the models that are meant, `jobs` holds check and record, `approval` the way from
obtained to golden, `archives`, `environments`, `goldens` and `servers` what they stand on, `bisect` (with `mixes` and
`trials`) the search between two lock files, `affected` what a change reaches, `project` what init writes, `reports` the
ways to show what was found.
"""
