"""record and approve of several models at once: one server, one reason, and after a failure what was done before it."""

import json
import shutil
import socket
from pathlib import Path

import pytest

from goldmar.errors import ExitCode
from tests.integration.conftest import Goldmar
from tests.integration.fake_server import Asked, FakeServer, json_answer, torchserve_error

MODELS = ("gear", "rim", "shaft")
DOWN = torchserve_error(500, "InternalServerException", "Worker died.")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three models with a drawing each and no golden."""
    for model in MODELS:
        drawing = tmp_path / "golden" / model / "drawings/one.json"
        drawing.parent.mkdir(parents=True)
        drawing.write_text("{}")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def served(connection: socket.socket, asked: Asked) -> bool:
    """Each model says its own name; any but those three dies."""
    model = asked.path.rpartition("/")[2]
    return (json_answer({"model": model}) if model in (*MODELS, "ping") else DOWN)(connection, asked)


def rim_is_down(connection: socket.socket, asked: Asked) -> bool:
    return (DOWN if "rim" in asked.path else served)(connection, asked)


def rim_refuses(connection: socket.socket, asked: Asked) -> bool:
    return (json_answer({"message": "no"}, 422) if "rim" in asked.path else served)(connection, asked)


def record(goldmar: Goldmar, *words: str) -> None:
    with FakeServer(served) as server:
        done = goldmar("record", *words, "--url", server.url)
    assert done.code == ExitCode.OK, done.err


def waiting(project: Path) -> list[str]:
    return sorted(path.parent.name for path in project.glob("golden/*/obtained.csv"))


def goldens(project: Path) -> list[str]:
    return sorted(path.parent.name for path in project.glob("golden/*/expected.csv"))


# ---- record ---------------------------------------------------------------------------------------------------------


def test_each_is_recorded_and_the_next_command_names_them_all(goldmar: Goldmar, project: Path) -> None:
    with FakeServer(served) as server:
        done = goldmar("record", "shaft", "gear", "--url", server.url)
    assert (done.code, waiting(project)) == (ExitCode.OK, ["gear", "shaft"])
    assert "1 drawings, 1 values of shaft in golden/shaft/obtained.csv" in done.out
    assert "Next: goldmar approve shaft gear --reason" in done.out
    assert (project / "golden/shaft/obtained.csv").read_text().endswith("one,model,shaft\n")


def test_all_of_them_where_that_is_said(goldmar: Goldmar, project: Path) -> None:
    record(goldmar, "--all")
    assert waiting(project) == sorted(MODELS)


def test_without_names_it_says_what_it_would_do(goldmar: Goldmar, project: Path) -> None:
    done = goldmar("record")
    assert (done.code, waiting(project)) == (ExitCode.USAGE, [])
    assert "The models are: gear, rim, shaft." in done.err
    assert "goldmar record gear rim shaft" in done.err
    assert goldmar("record", "gear", "--all").code == ExitCode.USAGE


def test_one_document_for_machines(goldmar: Goldmar, project: Path) -> None:
    with FakeServer(served) as server:
        done = goldmar("record", "gear", "rim", "--url", server.url, "--json")
    assert [model["model"] for model in json.loads(done.out)["models"]] == ["gear", "rim"]


def test_a_server_that_fails_on_one_leaves_those_before_it(goldmar: Goldmar, project: Path) -> None:
    with FakeServer(rim_is_down) as server:
        done = goldmar("record", "--all", "--url", server.url)
    assert (done.code, waiting(project)) == (ExitCode.SERVER, ["gear"])
    assert "asked to the end: gear; not asked to the end: rim, shaft" in done.err


def test_a_model_that_refuses_leaves_the_others(goldmar: Goldmar, project: Path) -> None:
    with FakeServer(rim_refuses) as server:
        done = goldmar("record", "--all", "--url", server.url)
    assert (done.code, waiting(project)) == (ExitCode.DIFFERENT, ["gear", "shaft"])
    assert "Next: goldmar approve gear shaft --reason" in done.out
    assert "rim" in done.out


# ---- approve --------------------------------------------------------------------------------------------------------


def test_one_reason_for_several(goldmar: Goldmar, project: Path) -> None:
    record(goldmar, "--all")
    done = goldmar("approve", "gear", "shaft", "--reason", "torch 2.13", "--yes")
    assert (done.code, goldens(project), waiting(project)) == (ExitCode.OK, ["gear", "shaft"], ["rim"])
    for model in ("gear", "shaft"):
        assert f"approved golden/{model}/expected.csv" in done.out
        assert 'reason = "torch 2.13"' in (project / "golden" / model / "provenance.toml").read_text()


def test_without_names_it_says_what_is_waiting(goldmar: Goldmar, project: Path) -> None:
    assert "not yet approved: none" in goldmar("approve", "--reason", "x", "--yes").err
    record(goldmar, "gear", "rim")
    done = goldmar("approve", "--reason", "x", "--yes")
    assert (done.code, goldens(project)) == (ExitCode.USAGE, [])
    assert "goldmar approve gear rim --reason" in done.err


def test_one_that_cannot_be_proposed_leaves_all_as_they_are(goldmar: Goldmar, project: Path) -> None:
    record(goldmar, "gear", "shaft")
    done = goldmar("approve", "gear", "rim", "shaft", "--reason", "x", "--yes")
    assert (done.code, goldens(project)) == (ExitCode.USAGE, [])
    assert "goldmar record rim" in done.err


def test_after_a_failure_it_says_which_were_approved(goldmar: Goldmar, project: Path) -> None:
    record(goldmar, "--all")
    edited = project / "golden/rim/obtained.csv"
    edited.write_text(edited.read_text().replace("rim\n", "rum\n"))
    done = goldmar("approve", *MODELS, "--reason", "x", "--yes")
    assert (done.code, goldens(project)) == (ExitCode.USAGE, ["gear"])
    assert "approved: gear; not approved: rim, shaft" in done.err


def test_ctrl_c_between_two_says_the_same(goldmar: Goldmar, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from goldmar.pipeline import approval

    record(goldmar, "--all")
    real = approval.approve

    def stopped(folder: Path, *rest: object) -> Path:
        if folder.name == "rim":
            raise KeyboardInterrupt
        return real(folder, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(approval, "approve", stopped)
    done = goldmar("approve", *MODELS, "--reason", "x", "--yes")
    assert (done.code, goldens(project)) == (ExitCode.INTERRUPTED, ["gear"])
    assert "approved: gear; not approved: rim, shaft" in done.err
    assert "goldmar approve rim shaft" in done.err


def test_what_was_approved_for_machines(goldmar: Goldmar, project: Path) -> None:
    record(goldmar, "gear", "rim")
    refused = goldmar("approve", "gear", "rim", "--reason", "x", "--json")
    assert (refused.code, refused.out, goldens(project)) == (ExitCode.USAGE, "", [])
    assert "--json prints one document" in refused.err
    done = goldmar("approve", "gear", "rim", "--reason", "x", "--json", "--yes")
    assert [row["model"] for row in json.loads(done.out)] == ["gear", "rim"]


def test_a_model_that_is_not_there_is_guessed(goldmar: Goldmar, project: Path) -> None:
    shutil.rmtree(project / "golden/rim")
    for command in (["record", "gaer"], ["approve", "gaer", "--reason", "x"], ["check", "gaer"], ["serve", "gaer"]):
        done = goldmar(*command)
        assert done.code == ExitCode.USAGE
        assert "Did you mean gear?" in done.err
