"""What `goldmar init` writes, and what it refuses to touch. The e2e test takes it through to a green check."""

import importlib.util
import io
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from goldmar import init
from goldmar.config import load_tolerances
from goldmar.errors import StorageError, UsageError
from goldmar.golden import find_drawings
from goldmar.init import ModelKind, scaffold

TEMPLATES = Path(__file__).resolve().parents[2] / "src/goldmar/scaffold"
COMMON = TEMPLATES.parents[2] / "handlers/common"

FILES = {
    "golden/gear/.gitignore",
    "golden/gear/drawings/plate.png",
    "golden/gear/drawings/shaft.png",
    "golden/gear/tolerance.toml",
    "handlers/gear/archive.toml",
    "handlers/gear/decoder.py",
    "handlers/gear/decoder_process.py",
    "handlers/gear/drawing_handler.py",
    "handlers/gear/handler.py",
    "handlers/gear/training/make_weights.py",
    "handlers/gear/model-config.yaml",
    "handlers/gear/model.py",
    "handlers/gear/preprocess.py",
    "handlers/gear/readers.py",
    "handlers/gear/requirements.txt",
    "handlers/gear/sheet.py",
    "handlers/gear/stages.py",
    "handlers/gear/weights.pt",
}


def files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir()}


def test_writes_a_handler_and_a_golden_folder(tmp_path):
    written = scaffold(tmp_path, "gear")
    assert {str(path.relative_to(tmp_path)) for path in written} == FILES == files(tmp_path)


OF_THE_ITEMS = {"archive.toml", "handler.py", "items.py", "model-config.yaml", "requirements.txt"}
KINDS = {
    ModelKind.drawing: {name.removeprefix("handlers/gear/") for name in FILES if name.startswith("handlers/")},
    ModelKind.image: {name.removeprefix("handlers/gear/") for name in FILES if name.startswith("handlers/")},
    ModelKind.tabular: OF_THE_ITEMS | {"model.npz", "table.py", "training/make_model.py"},
    ModelKind.text: OF_THE_ITEMS | {"model.json", "words.py", "training/make_model.py"},
    ModelKind.json: OF_THE_ITEMS | {"rules.py"},
}
SAMPLES = {
    ModelKind.drawing: "image/png",
    ModelKind.image: "image/jpeg",
    ModelKind.tabular: "text/csv",
    ModelKind.text: "text/plain",
    ModelKind.json: "application/json",
}


@pytest.mark.parametrize("kind", ModelKind)
def test_every_kind_brings_its_files_and_samples_that_fit(tmp_path, kind):
    scaffold(tmp_path, "gear", kind)
    assert files(tmp_path / "handlers/gear") == KINDS[kind]
    assert {each.content_type for each in find_drawings(tmp_path / "golden/gear/drawings")} == {SAMPLES[kind]}
    assert len(files(tmp_path / "golden/gear/drawings")) == 2
    assert (tmp_path / "golden/gear/tolerance.toml").is_file()


@pytest.mark.parametrize("kind", [ModelKind.tabular, ModelKind.text, ModelKind.json])
def test_what_needs_no_torch_names_none(tmp_path, kind):
    scaffold(tmp_path, "gear", kind)
    for path in (tmp_path / "handlers/gear").rglob("*.py"):
        assert "import torch" not in path.read_text()


@pytest.mark.parametrize("kind", [ModelKind.tabular, ModelKind.text])
def test_the_model_is_the_one_that_the_script_makes(tmp_path, kind):
    scaffold(tmp_path, "gear", kind)
    folder = tmp_path / "handlers/gear"
    (model,) = folder.glob("model.[nj]*")
    shipped = model.read_bytes()
    model.unlink()
    subprocess.run([sys.executable, str(folder / "training/make_model.py")], check=True, cwd=tmp_path, timeout=120)
    if kind is ModelKind.text:
        assert model.read_bytes() == shipped
        return
    with np.load(model) as made, np.load(io.BytesIO(shipped)) as kept:
        assert made["columns"].tolist() == kept["columns"].tolist()
        assert made["coefficients"] == pytest.approx(kept["coefficients"])  # the last digits are the processor's
        assert made["intercept"] == pytest.approx(kept["intercept"])


def test_needs_nothing_else_of_the_project(tmp_path):
    scaffold(tmp_path, "gear")
    assert "common = []" in (tmp_path / "handlers/gear/archive.toml").read_text()


def test_some_files_are_those_of_the_reference_handlers(tmp_path):
    scaffold(tmp_path, "gear")
    names = (TEMPLATES / "COMMON").read_text().split()
    assert {"decoder.py", "stages.py"} < set(names)
    for name in names:
        assert (tmp_path / "handlers/gear" / name).read_bytes() == (COMMON / name).read_bytes()


def test_a_package_without_them_writes_nothing_and_says_so(tmp_path, monkeypatch):
    shutil.copytree(TEMPLATES, tmp_path / "installed/goldmar/scaffold")
    monkeypatch.setattr(init, "_PACKAGE", tmp_path / "installed/goldmar")
    monkeypatch.setattr(init, "_TEMPLATES", tmp_path / "installed/goldmar/scaffold")
    with pytest.raises(UsageError, match="was installed without"):
        scaffold(tmp_path / "project", "gear")
    assert not (tmp_path / "project").exists() or not files(tmp_path / "project")


def test_follows_the_folders_that_the_project_names(tmp_path):
    (tmp_path / "pyproject.toml").write_text('[tool.goldmar]\nhandlers = "models"\ngolden = "expected"\n')
    scaffold(tmp_path, "gear")
    assert (tmp_path / "models/gear/handler.py").is_file()
    assert (tmp_path / "expected/gear/tolerance.toml").is_file()


def test_two_models_live_side_by_side(tmp_path):
    scaffold(tmp_path, "gear")
    scaffold(tmp_path, "gear-2")
    assert len(files(tmp_path)) == 2 * len(FILES)


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "a/b",
        "../up",
        "a b",
        "größe",
        "-x",
        "_x",
        "common",
        "a.py",
        "x" * 65,
        "a\n",
    ],
)
def test_refuses_a_name(tmp_path, name):
    with pytest.raises(UsageError) as caught:
        scaffold(tmp_path, name)
    assert caught.value.fix
    assert files(tmp_path) == set()


@pytest.mark.parametrize(
    "taken", ["handlers/gear/notes.txt", "golden/gear/expected.csv", "handlers/gear", "golden/gear"]
)
def test_touches_nothing_that_is_there(tmp_path, taken):
    (tmp_path / taken).parent.mkdir(parents=True)
    (tmp_path / taken).write_text("mine")
    with pytest.raises(UsageError, match=r"already exists; nothing was written"):
        scaffold(tmp_path, "gear")
    assert files(tmp_path) == {taken}
    assert (tmp_path / taken).read_text() == "mine"


@pytest.mark.parametrize(
    "there", ["handlers/Gear/archive.toml", "golden/GEAR/x", "model_store/gEar.mar", "handlers/old/archive.toml"]
)
def test_writes_no_model_that_every_other_command_would_refuse(tmp_path, there):
    (tmp_path / there).parent.mkdir(parents=True)
    (tmp_path / there).write_text('version = "1"\n' + ('model = "gear"\n' if "old" in there else ""))
    with pytest.raises(UsageError, match="already exists"):
        scaffold(tmp_path, "gear")
    assert files(tmp_path) == {there}


def test_does_not_follow_a_link_out_of_the_project(tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "root/handlers").mkdir(parents=True)
    (tmp_path / "root/handlers/gear").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    with pytest.raises(UsageError, match="already exists"):
        scaffold(tmp_path / "root", "gear")
    assert files(tmp_path / "elsewhere") == set()


def test_leaves_nothing_behind_when_the_second_folder_cannot_be_written(tmp_path):
    (tmp_path / "golden").mkdir()
    (tmp_path / "handlers").write_text("a file where a folder should be")
    with pytest.raises((StorageError, UsageError)):
        scaffold(tmp_path, "gear")
    assert files(tmp_path) == {"handlers"}
    assert list((tmp_path / "golden").iterdir()) == []


def test_the_tolerances_can_be_read(tmp_path):
    scaffold(tmp_path, "gear")
    tolerances = load_tolerances(tmp_path / "golden/gear/tolerance.toml")
    assert tolerances.default.atol == pytest.approx(1e-5)
    assert tolerances.patterns == ()


@pytest.mark.parametrize("kind", [ModelKind.drawing, ModelKind.image])
def test_the_weights_are_those_that_the_script_makes(tmp_path, kind):
    import torch

    scaffold(tmp_path, "gear", kind)
    folder = tmp_path / "handlers/gear"
    shipped = torch.load(folder / "weights.pt", weights_only=True)
    (folder / "weights.pt").unlink()
    subprocess.run([sys.executable, str(folder / "training/make_weights.py")], check=True, cwd=tmp_path, timeout=120)
    made = torch.load(folder / "weights.pt", weights_only=True)
    assert made.keys() == shipped.keys()
    assert all(torch.equal(made[name], shipped[name]) for name in shipped)


# --- the scaffold's own preprocessing, without TorchServe


def template(name: str):
    spec = importlib.util.spec_from_file_location(f"scaffold_{name}", TEMPLATES / f"handler/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def sheet():
    return template("sheet")


@pytest.fixture(scope="module")
def preprocess(sheet):
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "sheet", sheet)
        return template("preprocess")


@pytest.fixture(scope="module")
def tensor(sheet, preprocess):
    def of(data: bytes, side: int, channels: int = 1):
        read = sheet.read_gray if channels == 1 else sheet.read_colours
        return preprocess.to_tensor(read(data), side, channels)

    return of


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "item",
    [
        {"body": b"drawing"},
        {"body": bytearray(b"drawing")},
        {"data": b"drawing"},
        {"data": b"drawing", "body": b"other"},
        {"body": {"data": "ZHJhd2luZw=="}},
        {"data": "ZHJhd2luZw=="},
    ],
)
def test_finds_the_drawing_however_it_is_sent(preprocess, item):
    assert preprocess.drawing_bytes(item) == b"drawing"


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ({}, "holds no drawing"),
        ({"body": b""}, "holds no drawing"),
        ({"data": b"", "body": b"other"}, "holds no drawing"),
        ({"body": {}}, "holds no drawing"),
        ({"body": {"data": 7}}, "holds no drawing"),
        ({"body": [1]}, "holds no drawing"),
        ({"body": {"data": "***"}}, "not base64"),
        ({"body": {"data": "é"}}, "not base64"),
    ],
)
def test_says_what_is_wrong_with_a_request(preprocess, item, said):
    with pytest.raises(preprocess.BadDrawing, match=said):
        preprocess.drawing_bytes(item)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA", "CMYK", "I;16"])
def test_reads_every_kind_of_image(tensor, mode):
    image = Image.new(mode, (40, 30), 65535 if mode == "I;16" else None)
    ink = tensor(encoded(image, "TIFF" if mode in {"CMYK", "I;16"} else "PNG"), 16)
    assert ink.shape == (1, 16, 16)
    assert float(ink.min()) >= 0
    assert float(ink.max()) <= 1


@pytest.mark.parametrize("size", [(40, 30), (3000, 2), (1500, 2000)])
def test_no_sheet_is_larger_than_what_may_be_handed_over(sheet, preprocess, size):
    rows, columns = sheet.read_colours(encoded(Image.new("RGB", size))).pixels.shape
    assert 0 < rows <= sheet.CANVAS_HEIGHT
    assert 0 < columns <= sheet.CANVAS_WIDTH
    assert rows % 3 == 0


def test_colours_are_kept_where_they_are_wanted(tensor):
    red = tensor(encoded(Image.new("RGB", (40, 30), (255, 0, 0))), 16, 3)
    assert red.shape == (3, 16, 16)
    assert red.amax(dim=(1, 2)).tolist() == [0, 1, 1]


def test_16_bits_are_scaled_not_clipped(tensor):
    half = tensor(encoded(Image.new("I;16", (8, 8), 32768)), 8)
    assert float(half[0, 0, 0]) == pytest.approx(0.5, abs=0.01)


def test_transparent_is_paper(tensor):
    assert float(tensor(encoded(Image.new("RGBA", (8, 8), (0, 0, 0, 0))), 8).max()) == 0


def test_black_is_ink(tensor):
    assert float(tensor(encoded(Image.new("1", (8, 8), 0)), 8).min()) == 1


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"text", "is no image"),
        (b"%PDF-1.7", "is no image"),
        (bytes(range(64)), "is no image"),
    ],
)
def test_what_is_no_image_is_a_sentence(sheet, tensor, data, said):
    with pytest.raises(sheet.BadDrawing, match=said) as caught:
        tensor(data, 16)
    assert "0x" not in str(caught.value)


def test_no_format_is_read_that_is_not_named(sheet):
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n%%EOF\n"
    with Image.open(io.BytesIO(eps)) as image:  # Pillow would take it, and hand it to Ghostscript
        assert image.format == "EPS"
    with pytest.raises(sheet.BadDrawing, match="in a format that is not read here"):
        sheet.read_gray(eps)


def test_a_bomb_is_not_decoded(sheet, tensor):
    with pytest.raises(sheet.BadDrawing, match="more than is read here"):
        tensor(encoded(Image.new("1", (10000, 8001))), 16)
