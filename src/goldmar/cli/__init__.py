"""The command line: parse, call the pipeline, print, exit. The only package that prints or exits, with the plugin.

`app` holds the Typer application and the two consoles, `options` what several commands take, and a module for each
family of commands: `build`, `check`, `affected`, `bisect`. Importing a module adds its commands.
"""

from goldmar.cli import affected, bisect, build, check
from goldmar.cli.app import app
from goldmar.cli.ending import main

__all__ = ["affected", "app", "bisect", "build", "check", "main"]

# As --help lists them: the way of a model, then what CI asks. Importing would have them by the names of their modules.
ORDER = ("init", "archive", "serve", "check", "record", "approve", "affected", "bisect")
app.registered_commands.sort(key=lambda command: ORDER.index(getattr(command.callback, "__name__", "")))
