"""`record --stages` and `check --explain` on TorchServe's real worker: each change is named by the stage it is in.

The model is a small one without torch, which its worker would import anew for each check; the reference models and
their handler do the same in tests/e2e/test_stages.py, tests/handlers/test_stages.py and docs/stages.md.
"""

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from goldmar.golden import read_kept_stages
from tests.integration.conftest import Done, in_process

REPOSITORY = Path(__file__).resolve().parents[2]
GOLDMAR = Path(sys.executable).with_name("goldmar")
DRAWINGS = 3
STAGES = ["decode", "preprocess", "inference", "postprocess"]


pytestmark = pytest.mark.usefixtures("stand_in")

BASE = """
import json
from pathlib import Path

import numpy as np
from sheet import BadDrawing


class Base:
    def initialize(self, context):
        self.weights = np.load(Path(context.system_properties["model_dir"]) / "weights.pt")

    def handle(self, data, context):
        return [json.dumps(self.answer_or_refuse(index, bytes(row["body"]), context)) for index, row in enumerate(data)]

    def answer_or_refuse(self, index, body, context):
        context.set_response_content_type(index, "application/json")
        try:
            return self.answer(index, body)
        except BadDrawing as error:
            context.set_response_status(code=400, phrase="BadDrawing", idx=index)
            return {"code": 400, "type": "BadDrawing", "message": str(error)}
"""
HANDLER = """
import numpy as np
import preprocess
from base import Base
from sheet import NOMINAL_MM_PER_PX
from stages import Stages


class Handler(Stages, Base):
    def answer(self, index, body):
        sheet = preprocess.read(body)
        self.keep(index, "decode", sheet)
        ink = preprocess.tensor(sheet)
        self.keep(index, "preprocess", ink)
        output = np.array([ink.mean(), ink.std()]) + self.weights
        self.keep(index, "inference", output)
        mm = float(output.sum())
        return {"thickness": mm * sheet.mm_per_px / NOMINAL_MM_PER_PX}
"""
PREPROCESS = """
import io

import numpy as np
from PIL import Image
from sheet import NOMINAL_MM_PER_PX, Sheet, check_shape


def read_sheet(data):
    image = Image.open(io.BytesIO(data))
    check_shape(*image.size)
    return Sheet(np.asarray(image), NOMINAL_MM_PER_PX, 1.0)


def read(data):
    return read_sheet(data)


def tensor(sheet):
    return (255 - sheet.pixels.astype(np.float32)) * np.float32(1 / 255)
"""
CONFIG = """minWorkers: 1
maxWorkers: 1
batchSize: 1
maxBatchDelay: 1
startupTimeout: 60
responseTimeout: 30
handler:
  stages: true
"""


@dataclass(frozen=True)
class Project:
    """A small model named thickness with three drawings, and nothing tolerated."""

    root: Path

    def goldmar(self, *arguments: str, **environment: str) -> Done:
        """In this process: most of what a process of its own does is to import."""
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.root)
            for name, value in environment.items():
                patch.setenv(name, value)
            return in_process(*arguments)

    def succeeds(self, *arguments: str) -> str:
        done = self.goldmar(*arguments)
        assert done.code == 0, done.out + done.err
        return done.out

    def edit(self, path: str, old: str, new: str) -> None:
        text = (self.root / path).read_text(encoding="utf-8")
        assert text.count(old) == 1, (path, old)
        (self.root / path).write_text(text.replace(old, new), encoding="utf-8")

    def explain(self, **environment: str) -> list[dict[str, str]]:
        """Build, check with exit code 1, and what is said of each drawing."""
        self.succeeds("archive", "thickness")
        done = self.goldmar("check", "--backend", "worker", "--explain", "--json", **environment)
        assert done.code == 1, done.out + done.err
        (model,) = json.loads(done.out)["models"]
        failing = sorted({failure["drawing_id"] for failure in model["failures"]} - {""})
        assert [one["drawing_id"] for one in model["explanations"]] == failing
        found: list[dict[str, str]] = model["explanations"]
        return found

    @property
    def golden(self) -> Path:
        return self.root / "golden/thickness"


@pytest.fixture(scope="module")
def approved(tmp_path_factory: pytest.TempPathFactory, stand_in: None) -> Project:
    """Archive, record with stages, approve."""
    root = tmp_path_factory.mktemp("stages")
    files = {
        "pyproject.toml": "",
        "handlers/thickness/archive.toml": 'version = "1.0"\ncommon = ["sheet.py", "stages.py"]\n',
        "handlers/thickness/base.py": BASE,
        "handlers/thickness/handler.py": HANDLER,
        "handlers/thickness/preprocess.py": PREPROCESS,
        "handlers/thickness/model-config.yaml": CONFIG,
        "handlers/thickness/requirements.txt": "numpy\npillow\n",
    }
    for path, text in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text, encoding="utf-8")
    (root / "handlers/common").mkdir()
    for name in ("sheet.py", "stages.py"):
        shutil.copy(REPOSITORY / "handlers/common" / name, root / "handlers/common")
    with (root / "handlers/thickness/weights.pt").open("wb") as file:
        np.save(file, np.array([3.0, 4.0]))
    for number in range(DRAWINGS):
        drawing = root / f"golden/thickness/drawings/WA/{number}.png"
        drawing.parent.mkdir(parents=True, exist_ok=True)
        shades = np.clip(3 * np.add.outer(np.arange(96), np.arange(128)) - 50 * (number + 1), 0, 255)
        Image.fromarray(shades.astype(np.uint8)).save(drawing)
    project = Project(root)
    project.succeeds("archive")
    project.succeeds("record", "thickness", "--stages", "--backend", "worker")
    project.succeeds("approve", "thickness", "--yes", "--reason", "the first answers")
    return project


@pytest.fixture
def project(approved: Project, tmp_path: Path) -> Project:
    """The same, to be changed."""
    shutil.copytree(approved.root, tmp_path / "project")
    return Project(tmp_path / "project")


def test_recording_keeps_every_stage_of_every_drawing(approved: Project) -> None:
    kept = read_kept_stages(approved.golden)
    assert len(kept) == DRAWINGS
    for staged in kept.values():
        assert [stage.name for stage in staged.stages] == ["drawing", *STAGES]
        assert all(part.data is not None for stage in staged.stages[1:] for part in stage.parts)
    assert not list(approved.golden.glob("obtained*"))


def test_what_is_equal_is_not_explained(project: Project) -> None:
    done = project.goldmar("check", "--backend", "worker", "--explain", "--json")
    assert done.code == 0, done.out
    assert json.loads(done.out)["models"][0]["explanations"] == []


def change_decode(project: Project) -> None:
    project.edit("handlers/thickness/preprocess.py", "return read_sheet(data)", "return threshold(read_sheet(data))")
    with (project.root / "handlers/thickness/preprocess.py").open("a") as file:
        file.write(
            "\n\ndef threshold(sheet):\n"
            "    return Sheet((sheet.pixels > 127).astype('uint8') * 255, sheet.mm_per_px, sheet.source_px_per_px)\n"
        )


def change_scale(project: Project) -> None:
    project.edit("handlers/thickness/preprocess.py", "return read_sheet(data)", "return scaled(read_sheet(data))")
    with (project.root / "handlers/thickness/preprocess.py").open("a") as file:
        file.write(
            "\n\ndef scaled(sheet):\n    return Sheet(sheet.pixels, sheet.mm_per_px * 1.5, sheet.source_px_per_px)\n"
        )


def change_preprocess(project: Project) -> None:
    project.edit("handlers/thickness/preprocess.py", "np.float32(1 / 255)", "np.float32(1 / 254)")


def change_weights(project: Project) -> None:
    path = project.root / "handlers/thickness/weights.pt"
    weights = np.load(path)
    with path.open("wb") as file:
        np.save(file, weights + 0.01)


def change_postprocess(project: Project) -> None:
    project.edit("handlers/thickness/handler.py", '{"thickness": mm * ', '{"thickness": 1.01 * mm * ')


@pytest.mark.parametrize(
    ("change", "stage", "says"),
    [
        (change_decode, "decode", r"pixels differs in \d+\.\d % of elements, largest \d+"),
        (change_scale, "decode", r"mm_per_px is 1\.01\d+, and was 0\.67\d+"),
        (
            change_preprocess,
            "preprocess",
            r"tensor differs in \d+\.\d % of elements, largest 0\.00394, after equal decode",
        ),
        (
            change_weights,
            "inference",
            r"tensor differs in 100 % of elements, largest .+, after equal decode and preprocess",
        ),
        (change_postprocess, "postprocess", r"answer differs, after equal decode, preprocess and inference"),
    ],
    ids=["decode", "a number of decode", "preprocess", "inference", "postprocess"],
)
def test_the_stage_that_was_changed_is_named(
    project: Project, change: Callable[[Project], None], stage: str, says: str
) -> None:
    change(project)
    explanations = project.explain()
    assert len(explanations) == DRAWINGS
    for one in explanations:
        assert one["stage"] == stage, one
        assert re.fullmatch(says, one["detail"]), one


def test_a_drawing_that_is_refused_now(project: Project) -> None:
    project.edit("handlers/common/sheet.py", "MIN_SIDE_PX = 64", "MIN_SIDE_PX = 64_000")
    for one in project.explain():
        assert one["stage"] == "decode"
        assert re.fullmatch(r"the model refuses it \(status 400\): .+ too few to read: .+", one["detail"]), one


def test_a_handler_that_raises_tells_nothing(project: Project) -> None:
    project.edit("handlers/thickness/handler.py", "mm * sheet.mm_per_px", "mm / 0 * sheet.mm_per_px")
    for one in project.explain():
        assert (one["stage"], "without stages: Prediction failed (status 503)" in one["detail"]) == ("", True), one


def test_another_file_is_said_to_be_one(project: Project) -> None:
    first, second, *_ = sorted(project.golden.rglob("*.png"))
    first.write_bytes(second.read_bytes())
    (one,) = project.explain()
    assert (one["stage"], one["detail"]) == ("drawing", "the file itself is not the one that was recorded")


def test_a_server_that_does_not_tell_is_no_other_verdict(project: Project) -> None:
    change_postprocess(project)
    for one in project.explain(GOLDMAR_STAGES="off"):
        assert (one["stage"], one["detail"].startswith("the server does not give stages: ")) == ("", True)
        assert "GOLDMAR_STAGES=off" in one["detail"]


ASKED = """

    def keep(self, index, stage, value):
        if index in self._asked:
            {trouble}
"""


def make_trouble_for_those_who_ask(project: Project, trouble: str) -> None:
    change_postprocess(project)
    with (project.root / "handlers/thickness/handler.py").open("a") as file:
        file.write(ASKED.format(trouble=trouble))


def test_a_worker_that_dies_on_the_way_hides_no_verdict(project: Project) -> None:
    make_trouble_for_those_who_ask(project, "import os; os._exit(7)")
    found = project.explain()
    assert len(found) == DRAWINGS
    for one in found:
        assert one["stage"] == ""
        assert "The worker of thickness died" in one["detail"], one


def test_ctrl_c_while_it_explains(project: Project) -> None:
    asked = project.root / "asked"
    make_trouble_for_those_who_ask(project, f"import time; open({str(asked)!r}, 'w').close(); time.sleep(60)")
    project.succeeds("archive")
    command = [str(GOLDMAR), "check", "--backend", "worker", "--explain"]
    with subprocess.Popen(
        command, cwd=project.root, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        until = time.monotonic() + 60
        while not asked.exists():
            assert running.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        _, said = running.communicate(timeout=60)
    assert running.returncode == 130, said
    assert "its answers are complete" in said
    assert "so far: golden/thickness/obtained.csv" in said


def test_nothing_kept(project: Project) -> None:
    (project.golden / "stages.jsonl").unlink()
    change_postprocess(project)
    for one in project.explain():
        assert (one["stage"], one["detail"]) == (
            "",
            "nothing kept for this drawing; goldmar record thickness --stages",
        )


def test_stages_of_another_golden_are_not_trusted(project: Project) -> None:
    change_postprocess(project)
    project.succeeds("archive")
    project.succeeds("record", "thickness", "--backend", "worker")
    approval = project.succeeds("approve", "thickness", "--yes", "--reason", "without stages")
    assert "goldmar record thickness --stages" in approval
    project.edit("handlers/thickness/handler.py", "1.01 * mm", "1.02 * mm")
    for one in project.explain():
        assert one["stage"] == ""
        assert "belongs to another golden or archive" in one["detail"]


def test_recording_without_a_server_that_tells(project: Project) -> None:
    done = project.goldmar("record", "thickness", "--stages", "--backend", "worker", GOLDMAR_STAGES="off")
    assert done.code == 2
    assert "stages: true" in done.err
    assert "so far: golden/thickness/obtained.csv" in done.err
    assert not (project.golden / "obtained.stages.jsonl").exists()


def test_a_check_leaves_recorded_stages_alone_as_long_as_they_fit(project: Project) -> None:
    recorded = project.golden / "obtained.stages.jsonl"
    project.succeeds("record", "thickness", "--stages", "--backend", "worker")
    before = recorded.read_bytes()
    project.succeeds("check", "--backend", "worker")
    assert recorded.read_bytes() == before
    change_postprocess(project)
    project.explain()
    assert not recorded.exists()


def test_every_report_names_the_stage(project: Project) -> None:
    change_preprocess(project)
    project.succeeds("archive")
    done = project.goldmar("check", "--backend", "worker", "--explain", "--reports", "reports")
    assert done.code == 1
    assert re.search(rf"first to differ: preprocess in {DRAWINGS} drawings\n +\S+: tensor differs in", done.out), (
        done.out
    )
    says = r"tensor differs in \d+\.\d % of elements, largest 0\.00394, after equal decode"
    junit = (project.root / "reports/junit.xml").read_text()
    assert len(re.findall(f"\nfirst to differ: preprocess: {says}<", junit)) == DRAWINGS
    markdown = (project.root / "reports/report.md").read_text()
    assert len(re.findall(rf"\| thickness \| \S+ \| preprocess \| {says} \|", markdown)) == DRAWINGS


def test_the_answers_of_one_that_asks_and_one_that_does_not_are_alike(project: Project) -> None:
    """Recorded values come from requests without the header; the stage of the answer says the same."""
    import csv

    with (project.golden / "expected.csv").open(newline="") as file:
        expected = {row["drawing_id"]: float(row["pred"]) for row in csv.DictReader(file)}
    from goldmar.golden.stage_file import content_of

    for drawing_id, staged in read_kept_stages(project.golden).items():
        (part,) = staged.stages[-1].parts
        answer: dict[str, Any] = json.loads(content_of(part))
        assert answer == {"thickness": expected[drawing_id]}
