"""Finished jobs, shown: the subject first, then the format. Functions of the records alone; nothing here decides.

`run` (of check and record), `bisection` and `affected` are packages with a module for each format; `approval` is shown
on a terminal and nowhere else, and is one module. A format returns text, or prints on a rich console. What they share:
`words` spells numbers, names and failures; `screen`, `page` and `document` know terminals, Markdown and JSON.

To write one more file for a run: a module in `run`, and its name in the import of `run/__init__.py`.
"""
