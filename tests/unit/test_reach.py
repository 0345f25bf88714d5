"""Options declared once: both edges take them, and every message spells them as the edge does."""

import re
from dataclasses import fields
from inspect import signature
from pathlib import Path

import pycurl
import pytest

from goldmar.cli import check
from goldmar.errors import GoldmarError
from goldmar.protocols.torchserve import TorchServe
from goldmar.pytest_plugin import pytest_addoption
from goldmar.records import COMMAND_LINE, Answer, Drawing, Edge, Reach, Request
from goldmar.transport.faults import Fault, fault

PYTEST = Edge("--goldmar-")
OPTIONS = [each for each in fields(Reach) if each.name != "edge"]


@pytest.mark.parametrize("command", [check.check, check.record])
def test_every_option_is_one_of_the_commands(command: object) -> None:
    taken = signature(command).parameters  # type: ignore[arg-type]
    assert [name for name in taken if name in {each.name for each in OPTIONS}] == [each.name for each in OPTIONS]
    assert "reach" not in taken


def test_every_option_is_one_of_pytest_but_for_the_clients() -> None:
    found = {}

    class Group:
        def addoption(self, name: str, **more: object) -> None:
            found[name] = more

    class Parser:
        def getgroup(self, *_: str) -> Group:
            return Group()

    pytest_addoption(Parser())  # type: ignore[arg-type]
    assert set(found) == {"--goldmar", *(PYTEST.option(each.name) for each in OPTIONS if each.name != "clients")}
    assert all(more["help"] for more in found.values())


def spelt(error: GoldmarError | str) -> set[str]:
    """The options that are named."""
    text = error if isinstance(error, str) else f"{error.what} {error.fix}"
    assert "{" not in text
    return set(re.findall(r"(?<!\w)--[a-z][a-z-]*", text))


@pytest.mark.parametrize("edge", [COMMAND_LINE, PYTEST])
def test_what_the_network_does_is_told_with_the_options_of_the_edge(edge: Edge) -> None:
    known = {edge.option(each.name) for each in OPTIONS}
    named = set[str]()
    for code in range(120):
        for connected in (True, False):
            named |= spelt(fault(Fault(code, "x", 0, connected, 1.0, None, "http://h", "m", edge=edge)))
    assert named <= known
    assert {edge.option("ca_bundle"), edge.option("timeout")} <= named
    assert pycurl.E_OPERATION_TIMEDOUT < 120


@pytest.mark.parametrize("edge", [COMMAND_LINE, PYTEST])
def test_what_an_answer_means_is_told_with_the_options_of_the_edge(edge: Edge) -> None:
    known = {edge.option(each.name) for each in OPTIONS}
    named = set[str]()
    request = Request("m", Drawing("a", Path("a"), "image/png"))
    for status in range(100, 600):
        for headers in ({}, {"server": "another"}):
            answer = Answer(status, "", b"<html>", headers, 0.1, "http://h/m")
            try:
                problem = TorchServe(edge).read(request, answer).problem
            except GoldmarError as error:
                named |= spelt(error)
            else:
                named |= spelt(problem or "")
    wanted = {"url", "path", "model_version", "token_env", "token_file", "header", "clients", "field", "content_type"}
    assert named <= known
    assert named == {edge.option(name) for name in wanted}
