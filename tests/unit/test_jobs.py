"""check and record where something comes between: the steps are real, what they ask is not."""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from goldmar import seam
from goldmar.archive import build, digest
from goldmar.backends import Backend, Serving
from goldmar.config import load_project
from goldmar.errors import ConfigError, GoldenError, Interrupted, ServerError
from goldmar.golden import Recording, Superseded, read_provenance, refuse_unfinished
from goldmar.mar import examine
from goldmar.packages import Installed
from goldmar.pipeline.goldens import read_model
from goldmar.pipeline.jobs import Job, check, record, recording
from goldmar.pipeline.results import refuse_unused_patterns
from goldmar.pipeline.servers import Way
from goldmar.protocols.torchserve import TorchServe
from goldmar.records import Answer, Origin, Request, Values
from tests.unit.test_packages import handler


class Server(seam.Server):
    """It answers each drawing with what the next of `says` gives; the last one goes on."""

    protocol = TorchServe()
    origin = Origin("worker")

    def __init__(self, *says: object) -> None:
        self.says, self.left, self.installed, self.told = list(says or [1.5]), 0, Installed(), ["1.0"]

    def serving(self, serving: Serving) -> "Server":
        self.origin = replace(self.origin, digests=serving.digests)
        return self

    def ask(self, request: Request, /) -> Answer:
        said = self.says.pop(0) if len(self.says) > 1 else self.says[0]
        said = said() if callable(said) else said
        if isinstance(said, BaseException):
            raise said
        return Answer(422 if said is None else 200, "application/json", json.dumps({"mean": said}).encode())

    def versions(self) -> Mapping[str, str]:
        version = self.told.pop(0) if len(self.told) > 1 else self.told[0]
        return {"gear": version} if version else {}

    def packages(self) -> Installed:
        return self.installed

    def diagnostics(self) -> str | None:
        return "the handler's traceback"

    def __exit__(self, *error: object) -> None:
        self.left += 1


class Progress:
    def __init__(self) -> None:
        self.seen: list[str] = []

    def step(self, text: str) -> None: ...

    def asking(self, model: str, drawings: int) -> None:
        self.seen.append(f"asking {model} {drawings}")

    def answered(self, model: str, prediction: object) -> None:
        self.seen.append(f"answered {model}")

    def note(self, text: str) -> None:
        self.seen.append(text)


@pytest.fixture
def gear(tmp_path: Path) -> Path:
    """A model with two drawings, a golden that 1.5 passes, and an archive."""
    golden = tmp_path / "golden/gear"
    (golden / "drawings").mkdir(parents=True)
    for name in ("a", "b"):
        (golden / f"drawings/{name}.json").write_text("{}")
    (golden / "expected.csv").write_text("drawing_id,name,pred\na,mean,1.5\nb,mean,1.5\n")
    build(handler(tmp_path / "handlers/gear", "wanted>=2\n"), tmp_path / "model_store")
    return golden


def job(golden: Path, server: Server, **more: object) -> Job:
    archives = (golden.parents[1] / "model_store/gear.mar").exists()
    way = Way(Backend(name="worker", help="", open=server.serving, archives=archives))
    return Job(load_project(golden.parents[1]), ["gear"], way, Progress(), 1, **more)


def partial(golden: Path) -> str:
    return (golden / "obtained.partial.csv").read_text()


def test_a_check_to_its_end(gear: Path) -> None:
    server = Server()
    asked = job(gear, server)
    run, verdict = check(asked)
    assert verdict.passed
    assert (server.left, run.models[0].archive_digest) == (1, digest(gear.parents[1] / "model_store/gear.mar"))
    assert asked.progress.seen == ["asking gear 2", "answered gear", "answered gear"]


@pytest.mark.parametrize("run", [check, record])
def test_an_archive_is_opened_and_hashed_once(gear: Path, run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its digest, its requirements and its modules are all asked for on the way."""
    seen: list[Path] = []
    monkeypatch.setattr("goldmar.pipeline.archives.examine", lambda mar: seen.append(mar) or examine(mar))
    monkeypatch.setattr("goldmar.mar.digest", lambda mar: pytest.fail("hashed again"))
    server = Server()
    server.installed = Installed({"wanted": "2.0"})
    result, _ = run(job(gear, server))
    assert [mar.name for mar in seen] == ["gear.mar"]
    assert result.packages == {"wanted": "2.0"}


def test_where_a_recording_comes_from_is_kept_as_the_server_says(gear: Path) -> None:
    server = Server()
    for origin, url in (
        (Origin("remote", "http://host", named=True), "http://host"),
        (Origin("local", "http://127.0.0.1:1", python="3.11.2"), ""),
    ):
        server.origin = origin
        check(job(gear, server))
        kept = read_provenance(gear / "obtained.toml")
        assert (kept.backend, kept.url, kept.python) == (origin.backend, url, origin.python)


def test_a_model_without_archive_has_no_digest(gear: Path) -> None:
    (gear.parents[1] / "model_store/gear.mar").unlink()
    check(job(gear, Server()))
    assert read_provenance(gear / "obtained.toml").archive_digest == ""


def test_an_interrupt_while_the_server_starts_stops_it(gear: Path) -> None:
    class Slow(Server):
        def __enter__(self):
            raise KeyboardInterrupt

    server = Slow()
    with pytest.raises(KeyboardInterrupt):
        check(job(gear, server))
    assert server.left == 1


@pytest.mark.parametrize(
    ("end", "raised", "detail"),
    [
        (KeyboardInterrupt(), Interrupted, None),
        (ServerError("It died."), ServerError, "the handler's traceback"),
        (ServerError("It died.", detail="of this"), ServerError, "of this"),
    ],
)
@pytest.mark.parametrize("run", [check, record])
def test_what_was_answered_before_the_end_is_kept(gear: Path, run, end, raised, detail) -> None:
    with pytest.raises(raised) as caught:
        run(job(gear, Server(1.5, end)))
    assert partial(gear) == "drawing_id,name,pred\na,mean,1.5\n"
    assert (caught.value.saved, caught.value.detail) == (gear / "obtained.partial.csv", detail)
    with pytest.raises(GoldenError, match="failed at"):
        refuse_unfinished(gear)


def test_a_drawing_without_answer_shows_the_log(gear: Path) -> None:
    asked = job(gear, Server(1.5, None))
    assert not check(asked)[1].passed
    assert "gear: the server's log says\nthe handler's traceback" in asked.progress.seen
    assert partial(gear).endswith("\na,mean,1.5\n")


@pytest.mark.parametrize("now", ["1.1", ""])
def test_another_version_in_the_middle(gear: Path, now: str) -> None:
    server = Server()
    server.told = ["1.0", now]
    with pytest.raises(ServerError, match=f"and is {now or 'none that is told'} now"):
        check(job(gear, server))


@pytest.mark.parametrize(("version", "met"), [("1.0", False), ("2.0", True)])
@pytest.mark.parametrize("run", [check, record])
def test_other_packages_than_are_asked_for(gear: Path, run, version: str, met: bool) -> None:
    server = Server()
    server.installed = Installed({"wanted": version})
    if met:
        assert run(job(gear, server))[1].passed
        return
    with pytest.raises(ConfigError, match="wanted>=2"):
        run(job(gear, server))
    assert not (gear / "obtained.csv").exists()


def test_another_recording_in_the_middle(gear: Path) -> None:
    """It voids this one: the verdict of a check still stands, a recording has failed."""

    def begins() -> float:
        Recording(gear, "goldmar record gear")
        return 1.5

    asked = job(gear, Server(1.5, begins))
    assert check(asked)[1].passed
    assert any("The verdict is on what this one was answered" in each for each in asked.progress.seen)
    with pytest.raises(Superseded):
        record(job(gear, Server(1.5, begins)))
    with pytest.raises(GoldenError):
        refuse_unfinished(gear)


def test_a_recording_with_stages_counts_once_they_are_there(gear: Path) -> None:
    """This server tells none."""
    with pytest.raises(GoldenError):
        record(job(gear, Server(), stages=True))
    with pytest.raises(GoldenError, match="failed at"):
        refuse_unfinished(gear)


@pytest.mark.parametrize(
    ("end", "why"),
    [
        (KeyboardInterrupt(), "it was interrupted"),
        (ZeroDivisionError("by 0"), "ZeroDivisionError: by 0"),
        (GoldenError("No."), "No"),
        (None, "it was not recorded to the end"),
    ],
)
def test_what_ended_a_recording_is_said(gear: Path, end: BaseException | None, why: str) -> None:
    with suppress(BaseException), recording(load_project(gear.parents[1]), ["gear"], "make again"):
        if end is not None:
            raise end
    with pytest.raises(GoldenError, match=f"failed at .*: {why}. What was") as caught:
        refuse_unfinished(gear)
    assert caught.value.fix == "make again"


@pytest.mark.parametrize(("golden", "obtained", "refused"), [(1, 1, True), (1, 0, True), (0, 1, True), (0, 0, False)])
def test_a_pattern_of_nothing(gear: Path, golden: int, obtained: int, refused: bool) -> None:
    """Where there is no value at all the report says that, and better."""
    (gear / "tolerance.toml").write_text('[value."thickness"]\natol = 1\n')
    cells = [Values([], [], []), Values(["a"], ["mean"], [1.5])]
    model = replace(read_model(load_project(gear.parents[1]), "gear", with_expected=True), expected=cells[golden])
    if refused:
        with pytest.raises(ConfigError, match="matches no value"):
            refuse_unused_patterns(model, cells[obtained])
    else:
        refuse_unused_patterns(model, cells[obtained])
