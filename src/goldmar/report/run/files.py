"""The files that a run leaves for a CI server, by name. A format adds its own to the table with `@file(NAME)`."""

from collections.abc import Callable

from goldmar.records import RunResult, Verdict

Render = Callable[[RunResult, Verdict], str]

FILES: dict[str, Render] = {}
"""Name -> what renders its text, for whatever `goldmar.report.run` imports."""


def file(name: str) -> Callable[[Render], Render]:
    def add(render: Render) -> Render:
        FILES[name] = render
        return render

    return add
