"""`pytest --goldmar`: one test item a drawing, compared with its golden on a server started once a session.

The items come from the project, whatever pytest walks through, passes over or is pointed at: every model's drawings are
there, or the session fails. What the user deselects (-k, -m, --deselect, a node id) is said in the summary, and so
is what an early end leaves over. Under pytest-xdist the controller starts the server and its workers ask it.

Without `--goldmar` (or `--goldmar-url`) this plugin collects nothing and imports nothing heavy. `session` has the hooks
of a session with goldens, `items` what is collected, `asking` the server.
"""

from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest

from goldmar.backends import backends_in_words
from goldmar.errors import GoldmarError
from goldmar.pytest_plugin.words import EDGE, words
from goldmar.records import Reach

__all__: list[str] = []


_NAME = "goldmar-session"
_OPTIONS = [each for each in fields(Reach)[1:] if each.name != "clients"]  # pytest runs one item at a time


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("goldmar", "golden predictions of models")
    group.addoption("--goldmar", action="store_true", help="Collect one item a drawing from golden/.")
    for option in _OPTIONS:
        said = option.metadata
        text = said["help"].format(backends=backends_in_words())
        text += " Implies --goldmar." if option.name == "url" else ""
        more = {"action": "append"} if option.name == "header" else {"type": get_args(option.type)[0]}
        dest = f"goldmar_{option.name}"
        group.addoption(EDGE.option(option.name), dest=dest, metavar=said["metavar"], help=text, **more)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "goldmar: a drawing compared with its golden (set by --goldmar)")
    if not (config.option.goldmar or config.option.goldmar_url):
        return
    from goldmar.pytest_plugin.session import Session

    given = {each.name: getattr(config.option, f"goldmar_{each.name}") for each in _OPTIONS}
    reach = Reach(edge=EDGE, **{**given, "header": tuple(given["header"] or ())})
    if config.pluginmanager.register(Session(config, _project(config), reach), _NAME) is None:
        msg = f"--goldmar and -p no:{_NAME} contradict each other: no golden would be compared."
        raise pytest.UsageError(f"{msg}\nfix: leave one of the two out")


def _project(config: pytest.Config) -> Any:  # a Project
    """That of the working directory, as for every command of goldmar; otherwise that of pytest's rootdir."""
    from goldmar.pipeline.selection import load_project

    found, refused = [], None
    for place in (config.invocation_params.dir, config.rootpath):
        try:
            found.append(load_project(Path(place)))
        except GoldmarError as error:
            refused = refused or error
    if not found:
        raise pytest.UsageError(words(refused) if refused else "no project") from refused
    here, other = found[0], found[-1]
    if not here.root.is_relative_to(other.root):
        msg = f"--goldmar could mean two projects: {here.root}, from where pytest was started, and {other.root}."
        raise pytest.UsageError(f"{msg}\nfix: cd to the one that is meant, and start pytest there")
    return here
