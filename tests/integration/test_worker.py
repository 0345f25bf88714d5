"""TorchServe's own worker, started and ended for real: what it answers, how it dies, and that nothing stays behind."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import venv
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from packaging.requirements import Requirement

from goldmar.backends.worker import WorkerServer
from goldmar.errors import (
    FOR_CPUS,
    ArchiveError,
    GoldenError,
    MissingExtraError,
    ModelUnknownError,
    NotReadyError,
    UsageError,
    WorkerDiedError,
)
from goldmar.packages import reachable
from goldmar.records import Answer, Drawing, Request
from tests.support.odd import ANSWERS, HANDLER, failed, make

pytestmark = pytest.mark.usefixtures("stand_in")


class Asker:
    """Ask by content instead of by file."""

    def __init__(self, server: WorkerServer, folder: Path) -> None:
        self.server, self.folder = server, folder

    def __call__(self, body: str | bytes, content_type: str = "text/plain", model: str = "odd") -> Answer:
        path = self.folder / f"{time.monotonic_ns()}"
        path.write_bytes(body.encode() if isinstance(body, str) else body)
        return self.server.ask(Request(model, Drawing("sheet/1", path, content_type)))


@pytest.fixture
def temp(tmp_path, monkeypatch) -> Path:
    """A temporary folder of the test's own, for workers to be unpacked in."""
    folder = tmp_path / "tmp"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture(scope="module")
def odd(tmp_path_factory, stand_in):
    root = tmp_path_factory.mktemp("odd")
    progress: list[str] = []
    with WorkerServer([make(root), make(root, "even")], on_progress=progress.append) as server:
        assert [line for line in progress if "READY" in line][-1].endswith("READY (2/2)")
        yield Asker(server, root)


def test_two_models_keep_their_modules_apart(odd):
    states = [json.loads(odd("state", model=model).body) for model in ("odd", "even")]
    assert [state[:4] for state in states] == [
        ["odd", "green", "weights of odd", 3],
        ["even", "green", "weights of even", 3],
    ]
    assert states[0][4] != states[1][4]
    for state in states:
        assert Path(state[5]).parent.name == "models"
        assert not any(entry.endswith("goldmar/serve") for entry in state[6])
    assert odd.server.versions() == {"odd": "1.3", "even": "1.3"}


@pytest.mark.parametrize(
    ("body", "content_type", "kind", "value"),
    [
        (b"\x89PNG\r\n", "image/png", "bytearray", None),
        (b"", "image/png", "bytearray", None),
        ('{"a": [1]}', "application/json", "dict", {"a": [1]}),
        ('{"a": [1]}', "application/json; charset=utf-8", "dict", {"a": [1]}),
        ("{broken", "application/json", "bytearray", None),
        (b"\xff\xfe", "text/plain", "bytearray", None),
        (b"0" * 10_000_000, "application/octet-stream", "bytearray", None),
    ],
)
def test_requests_arrive_as_torchserve_hands_them_over(odd, body, content_type, kind, value):
    got = odd(body, content_type)
    size = len(body) if kind == "bytearray" else None
    assert json.loads(got.body) == {"kind": kind, "header": content_type, "size": size, "value": value}
    assert (got.status, got.content_type) == (200, "application/json")


@pytest.mark.parametrize("what", ANSWERS)
def test_answers(odd, what):
    assert odd(what) == ANSWERS[what]


def test_a_body_over_the_limit_of_the_local_server(odd):
    assert odd(bytes(64 * 1024 * 1024 + 1), "image/png") == Answer(413, "", b"")
    assert odd(bytes(64 * 1024 * 1024), "image/png").status == 200


def test_the_handlers_traceback_is_kept(odd):
    odd("raises")
    trouble = odd.server.diagnostics()
    assert "KeyError: 'no such key'" in trouble
    assert 'File "handler.py"' in trouble
    assert "service.py" not in trouble  # TorchServe's own frames are no help to anybody


def test_asked_from_many_threads(odd):
    def ask(number: int) -> int:
        answer = odd(json.dumps({"number": number}), "application/json", ("odd", "even")[number % 2])
        return json.loads(answer.body)["value"]["number"]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ask, range(200))) == list(range(200))


def test_packages_are_those_of_the_handlers_interpreter(odd):
    found = odd.server.packages().versions
    assert found["torchserve"] == "0.12.0"
    assert "torch" in found


def test_a_model_that_is_not_there(odd):
    with pytest.raises(ModelUnknownError, match=r"model nosuch; there are: even, odd\."):
        odd("state", model="nosuch")


def test_a_drawing_that_is_not_there(odd):
    with pytest.raises(GoldenError, match="cannot be read"):
        odd.server.ask(Request("odd", Drawing("x", odd.folder / "nosuch.png", "image/png")))


def leftovers(pids: list[int]) -> list[int]:
    """Those of the processes that still run a little later."""
    _, alive = psutil.wait_procs([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout=10)
    return [process.pid for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def test_leaving_leaves_nothing(temp, tmp_path):
    with WorkerServer([make(tmp_path)]) as server:
        ask = Asker(server, tmp_path)
        pids = [json.loads(ask("state").body)[4], int(ask("starts_another").body)]
        assert len(list(temp.iterdir())) == 1
        assert all(psutil.pid_exists(pid) for pid in pids)
    assert leftovers(pids) == []
    assert list(temp.iterdir()) == []
    with pytest.raises(WorkerDiedError, match="was stopped"):
        ask("state")


def test_an_idle_worker_may_leave_by_itself(temp, tmp_path, monkeypatch):
    monkeypatch.setenv("GOODBYE", str(tmp_path / "goodbye"))
    with WorkerServer([make(tmp_path)]) as server:
        Asker(server, tmp_path)("says_goodbye")
    assert (tmp_path / "goodbye").exists()


def test_leaving_frees_a_thread_that_waits_for_an_answer(temp, tmp_path):
    with ThreadPoolExecutor(1) as pool:
        with WorkerServer([make(tmp_path)]) as server:
            ask = Asker(server, tmp_path)
            pid = json.loads(ask("state").body)[4]
            waiting = pool.submit(ask, "sleeps")
            while not waiting.running():
                time.sleep(0.01)
        with pytest.raises(WorkerDiedError, match="was stopped"):
            waiting.result(timeout=30)
    assert leftovers([pid]) == []


DEATHS = {
    "dies": ("exit code 7", "Mend the handler"),
    "killed": (r"it was killed \(SIGKILL\) by somebody", "look for who killed it"),
    "segfault": ("ended by SIGSEGV", "Mend the handler"),
    "phrase": ("cannot be understood", "not ASCII"),  # 500 "Worker died." behind TorchServe
    "huge": ("cannot be understood", "not ASCII"),
}


@pytest.mark.parametrize("what", DEATHS)
def test_a_worker_that_dies_in_mid_run(temp, tmp_path, what):
    said, fix = DEATHS[what]
    with WorkerServer([make(tmp_path)]) as server:
        ask = Asker(server, tmp_path)
        pid = json.loads(ask("state").body)[4]
        with pytest.raises(WorkerDiedError, match=said) as caught:
            ask(what)
        assert fix in caught.value.fix
        assert caught.value.model == "odd"
        assert leftovers([pid]) == []
        with pytest.raises(WorkerDiedError):  # for the other clients as well, at once
            ask("state")
    assert list(temp.iterdir()) == []


# TorchServe leaves the standard input of a worker open and never writes to it.
@pytest.mark.parametrize("what", ["sleeps", "reads_stdin"])
def test_a_handler_that_takes_too_long(temp, tmp_path, what):
    with WorkerServer([make(tmp_path, timeout=1)]) as server:
        ask = Asker(server, tmp_path)
        pid = json.loads(ask("state").body)[4]
        with pytest.raises(WorkerDiedError, match=r"sheet/1 within its responseTimeout of 1 s"):
            ask(what)
        assert leftovers([pid]) == []


LOAD_FAILURES = {
    "import": ("import nosuchmodule\n" + HANDLER, "ModuleNotFoundError: No module named 'nosuchmodule'"),
    "initialize": (HANDLER.replace('["color"]', '["colour"]'), "KeyError: 'colour'"),
    "runtime error": (
        HANDLER.replace("self.batch_size =", "raise RuntimeError('size mismatch for conv1')\n        x ="),
        "RuntimeError: size mismatch for conv1",
    ),
    "no handle": ("class Handler:\n    pass\n", "ValueError: Expect handle method in class"),
    "exit": ("import os\nos._exit(3)\n" + HANDLER, "exit code 3"),
}


@pytest.mark.parametrize("how", LOAD_FAILURES)
def test_a_handler_that_does_not_load(temp, tmp_path, how):
    handler, said = LOAD_FAILURES[how]
    with pytest.raises(WorkerDiedError) as caught, WorkerServer([make(tmp_path, handler=handler)]):
        pass
    error = caught.value
    assert said in error.what
    assert "loaded its handler" in error.what
    assert error.model == "odd"
    assert ("package that provides 'nosuchmodule'" in (error.fix or "")) == (how == "import")
    if how not in ("exit", "no handle"):
        assert error.detail is not None
        assert 'File "handler.py", line' in error.detail
        assert "ts.torch_handler" not in error.detail  # TorchServe's second guess, after the import failed
    assert list(temp.iterdir()) == []


def test_a_handler_that_never_loads(temp, tmp_path):
    slow = "import time\ntime.sleep(600)\n" + HANDLER
    with (
        pytest.raises(NotReadyError, match=r"Not READY within 8 s: slow\.") as caught,
        WorkerServer([make(tmp_path, "quick"), make(tmp_path, "slow", handler=slow)], startup_timeout_s=8),
    ):
        pass
    assert caught.value.model == "slow"
    assert list(temp.iterdir()) == []


def test_two_archives_of_one_model(temp, tmp_path):
    mar = make(tmp_path)
    with (
        pytest.raises(UsageError, match="would both be served as odd"),
        WorkerServer([mar, Path(shutil.copy(mar, tmp_path))]),
    ):
        pass
    assert list(temp.iterdir()) == []


def test_a_broken_archive(temp, tmp_path):
    (tmp_path / "x.mar").write_text("no zip")
    with pytest.raises(ArchiveError, match="no sound zip"), WorkerServer([tmp_path / "x.mar"]):
        pass
    assert list(temp.iterdir()) == []


@pytest.mark.parametrize("line", ["asyncCommunication: true", "parallelType: tp"])
def test_what_only_the_whole_server_can_do_is_refused(temp, tmp_path, line):
    mar = make(tmp_path)
    with zipfile.ZipFile(mar) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["model-config.yaml"] += line.encode()
    with zipfile.ZipFile(mar, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(NotReadyError, match="takes TorchServe's frontend"), WorkerServer([mar]):
        pass
    assert list(temp.iterdir()) == []


def test_an_interpreter_that_is_none(temp, tmp_path):
    with pytest.raises(NotReadyError, match="could not be run"), WorkerServer([make(tmp_path)], python="/no/python"):
        pass
    assert list(temp.iterdir()) == []


def test_an_interpreter_without_torchserve(temp, tmp_path):
    venv.create(tmp_path / "bare", with_pip=False, symlinks=True)
    python = tmp_path / "bare/bin/python"
    with pytest.raises(WorkerDiedError, match="No module named 'ts'") as caught:
        WorkerServer([make(tmp_path)], python=python).__enter__()
    assert caught.value.fix == f"{python} -m pip install {FOR_CPUS}torch torchserve==0.12.0 pyyaml"


def test_an_interpreter_without_goldmar(temp, tmp_path):
    venv.create(tmp_path / "other", with_pip=False, symlinks=True)
    (site,) = (tmp_path / "other").glob("lib/python*/site-packages")
    for found in next(Path(path) for path in sys.path if path.endswith("site-packages")).iterdir():
        if "goldmar" not in found.name.lower():
            (site / found.name).symlink_to(found)
    with WorkerServer([make(tmp_path)], python=tmp_path / "other/bin/python") as server:
        assert json.loads(Asker(server, tmp_path)("state").body)[0] == "odd"
        found = server.packages()
        assert "goldmar" not in found.versions
        assert {"numpy", "torch", "torchserve"} <= reachable(
            found, map(Requirement, ["torchserve", "torch"]), {"numpy"}
        ).keys()


def test_without_the_extra_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="torchserve"), WorkerServer([tmp_path / "any.mar"]):
        pass


PARENT = """
import sys, time
from pathlib import Path
from goldmar.records import Drawing, Request
from goldmar.backends.worker import WorkerServer
from tests.support.odd import ANSWERS, HANDLER, failed, make
with WorkerServer([Path(sys.argv[1])]) as server:
    drawing = Path(sys.argv[2])
    drawing.write_text("state")
    print(server.ask(Request("odd", Drawing("d", drawing, "text/plain"))).body.decode().replace("\\n", ""), flush=True)
    drawing.write_text("sleeps")
    if sys.argv[3] == "busy":
        server.ask(Request("odd", Drawing("d", drawing, "text/plain")))
    time.sleep(600)
"""


@pytest.mark.parametrize("state", ["idle", "busy"])
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill"])
def test_an_end_of_the_parent_is_the_end_of_the_worker(temp, tmp_path, end, state):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, make(tmp_path), tmp_path / "drawing", state],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(temp)},
    )
    pid = json.loads(parent.stdout.readline())[4]
    assert psutil.pid_exists(pid)
    parent.send_signal(end)
    _, error = parent.communicate(timeout=30)
    assert (b"KeyboardInterrupt" in error) == (end == signal.SIGINT)
    assert leftovers([pid]) == []
    deadline = time.monotonic() + 10
    while list(temp.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(temp.iterdir()) == []


def test_an_archive_of_torch_model_archiver_with_a_built_in_handler(temp, tmp_path, monkeypatch):
    """The handlers that need no more than torch are few: base_handler loads any TorchScript, and takes no HTTP body."""
    monkeypatch.delenv("PYTHONPATH")
    script = (
        "import torch, sys\n"
        "class Double(torch.nn.Module):\n"
        "    def forward(self, x):\n"
        "        return 2 * x\n"
        "torch.jit.trace(Double(), torch.zeros(1)).save(sys.argv[1])\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", script, tmp_path / "double.pt"], check=True, timeout=120)
    subprocess.run(
        [
            *(sys.executable, "-m", "model_archiver.model_packaging", "--model-name", "double", "--version", "7"),
            *("--serialized-file", tmp_path / "double.pt", "--handler", "base_handler", "--export-path", tmp_path),
        ],
        env={**os.environ, "TMPDIR": str(temp)},
        check=True,
        timeout=60,
    )
    with WorkerServer([tmp_path / "double.mar"]) as server:
        assert server.versions() == {"double": "7"}
        assert Asker(server, tmp_path)("[1, 2.5]", "application/json", "double") == failed(503, "Prediction failed")
        assert "base_handler.py" in server.diagnostics()


def test_settings_of_the_environment_do_not_change_what_a_handler_is_given(temp, tmp_path, monkeypatch):
    monkeypatch.setenv("TS_DECODE_INPUT_REQUEST", "false")
    with WorkerServer([make(tmp_path)]) as server:
        assert json.loads(Asker(server, tmp_path)("{}", "application/json").body)["kind"] == "dict"


def test_a_renamed_archive_is_served_by_the_name_of_its_file(temp, tmp_path):
    mar = make(tmp_path).rename(tmp_path / "other.mar")
    with WorkerServer([mar]) as server:
        assert json.loads(Asker(server, tmp_path)("state", model="other").body)[0] == "odd"
        assert server.versions() == {"other": "1.3"}


def test_an_archive_with_a_function_for_a_handler(temp, tmp_path):
    (tmp_path / "sum.py").write_text(
        "def entry(data, context):\n"
        "    if data is None:\n"
        "        return None\n"
        "    return [{'sum': sum(row['body']['numbers'])} for row in data]\n"
    )
    (tmp_path / "none.pt").write_text("")
    subprocess.run(
        [
            *(sys.executable, "-m", "model_archiver.model_packaging", "--model-name", "sum", "--version", "1.0"),
            *("--handler", f"{tmp_path / 'sum'}:entry", "--serialized-file", tmp_path / "none.pt"),
            *("--export-path", tmp_path),
        ],
        env={**os.environ, "TMPDIR": str(temp)},
        check=True,
        timeout=60,
    )
    with WorkerServer([tmp_path / "sum.mar"]) as server:
        answer = Asker(server, tmp_path)('{"numbers": [1, 2, 3]}', "application/json", "sum")
    assert (answer.status, json.loads(answer.body)) == (200, {"sum": 6})
