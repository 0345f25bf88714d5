"""The command line: parse, call the pipeline, print, exit. The only package that prints or exits, with the plugin.

`signals` is there before anything else is imported, `streams` looks after standard output and error, `ending` maps
every ending to an exit code. `app` holds the Typer
application and the two consoles, `options` what several commands take, and a module for each family of commands:
`build`, `check`, `affected`, `bisect`.
"""

import sys

from goldmar.cli import signals

__all__ = ["main"]


def main() -> None:
    """Entry point, which does not return: every ending has its exit code, Ctrl-C while Python imports among them."""
    signals.install()
    from goldmar.cli import streams

    streams.install()
    from goldmar.cli.ending import run

    signals.loaded()
    code = run()
    signals.end(code)
    sys.exit(code)
