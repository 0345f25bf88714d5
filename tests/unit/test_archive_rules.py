"""What a handler directory is refused for: each case once, with the words and the fix."""

import sys
from pathlib import Path

import pytest

from goldmar.archive import build
from goldmar.errors import ArchiveError, MissingExtraError

LOADING = "from ts.torch_handler.base_handler import BaseHandler\nclass Handler(BaseHandler): ...\n"
HANDLER = "class Handler:\n    def handle(self, data, context):\n        return data\n"
CONFIG = {
    "minWorkers": "1",
    "maxWorkers": "2",
    "batchSize": "1",
    "maxBatchDelay": "0",
    "startupTimeout": "60",
    "responseTimeout": "30",
}


def yaml(**changes: str | None) -> str:
    return "".join(f"{key}: {value}\n" for key, value in {**CONFIG, **changes}.items() if value is not None)


@pytest.fixture
def folder(tmp_path) -> Path:
    part = tmp_path / "handlers/part"
    part.mkdir(parents=True)
    (part.parent / "common").mkdir()
    (part / "handler.py").write_text(HANDLER)
    (part / "model.py").write_text("class Net:\n    pass\n")
    (part / "weights.pt").write_bytes(b"weights")
    (part / "model-config.yaml").write_text(yaml())
    (part / "archive.toml").write_text('version = "1.0"\n')
    return part


def refusal(folder: Path, tmp_path: Path) -> ArchiveError:
    with pytest.raises(ArchiveError) as caught:
        build(folder, tmp_path / "store")
    assert caught.value.fix
    assert not (tmp_path / "store").exists()
    return caught.value


def test_the_folder_that_the_cases_break_is_accepted(folder, tmp_path):
    assert build(folder, tmp_path / "store").members == (
        "MAR-INF/MANIFEST.json",
        "handler.py",
        "model-config.yaml",
        "model.py",
        "weights.pt",
    )


BROKEN = {
    "weights missing": ({"weights.pt": None, "handler.py": LOADING}, "has no weights.pt"),
    "handler missing": ({"handler.py": None}, "has no handler.py"),
    "config missing": ({"model-config.yaml": None}, "has no model-config.yaml"),
    "recipe missing": ({"archive.toml": None}, "has no archive.toml"),
    "model missing": ({"model.py": None, "handler.py": LOADING}, "has no model.py"),
    "second class": (
        {"handler.py": HANDLER + "class Other:\n    pass\n"},
        "handler.py:4 defines a second class, Other",
    ),
    "second class under if": ({"handler.py": HANDLER + "if True:\n    class Other: ...\n"}, "second class, Other"),
    "second class by call": (
        {"handler.py": HANDLER + "from collections import namedtuple\nBox = namedtuple('Box', 'x y')\n"},
        "handler.py:5 defines a second class, Box",
    ),
    "second class in model.py": ({"model.py": "class A: ...\nclass B: ...\n"}, "model.py:2 defines a second class, B"),
    "no class": ({"handler.py": "x = 1\n"}, "handler.py defines no class"),
    "no class in model.py": ({"model.py": "from torch.nn import Module\n"}, "model.py defines no class"),
    "function beats class": ({"handler.py": HANDLER + "def handle(data, context): ...\n"}, "defines `handle` beside"),
    "imported function beats class": ({"handler.py": "from preprocess import handle\n" + HANDLER}, "`handle` beside"),
    "relative import": ({"preprocess.py": "from .boxes import area\n"}, r"preprocess.py:1 imports .boxes relatively"),
    "relative import in a function": ({"handler.py": HANDLER + "        from . import x\n"}, "relatively"),
    "relative import in model.py": ({"model.py": "from .a import b\nclass Net: ...\n"}, "relatively"),
    "harness": ({"preprocess.py": "import goldmar.records\n"}, "imports goldmar"),
    "harness, from": ({"handler.py": "from goldmar import records\n" + HANDLER}, "imports goldmar"),
    "syntax": ({"preprocess.py": "def f(:\n"}, "preprocess.py:1 is not Python"),
    "syntax, NUL": ({"preprocess.py": "x = 1\0\n"}, "is not Python"),
    "no yaml": ({"model-config.yaml": "minWorkers: [1\n"}, "is not YAML"),
    "yaml, but no table": ({"model-config.yaml": "- 1\n"}, "not a table"),
    "yaml key twice": ({"model-config.yaml": yaml() + "batchSize: 8\n"}, "'batchSize' is there twice"),
    "not an integer": ({"model-config.yaml": yaml(responseTimeout="'60'")}, "responseTimeout is '60'"),
    "a truth": ({"model-config.yaml": yaml(batchSize="true")}, "batchSize is True"),
    "zero": ({"model-config.yaml": yaml(startupTimeout="0")}, "startupTimeout is 0"),
    "max below min": ({"model-config.yaml": yaml(minWorkers="3")}, "maxWorkers is below minWorkers"),
    "recipe, no TOML": ({"archive.toml": "version = 1.0.0\n"}, "is not TOML"),
    "recipe, unknown key": ({"archive.toml": 'version = "1"\nfiles = []\n'}, "unknown key 'files'"),
    "recipe, nearly a key": ({"archive.toml": 'version = "1"\nextras = []\n'}, "Did you mean 'extra'?"),
    "recipe, no version": ({"archive.toml": ""}, "has no version"),
    "recipe, version a number": ({"archive.toml": "version = 1.0\n"}, "version must be a string"),
    "recipe, version a path": ({"archive.toml": 'version = "1/2"\n'}, "'1/2' is no version"),
    "recipe, version empty": ({"archive.toml": 'version = ""\n'}, "is no version"),
    "recipe, bad name": ({"archive.toml": 'version = "1"\nmodel = "a b"\n'}, "'a b' is no name"),
    "recipe, common a string": ({"archive.toml": 'version = "1"\ncommon = "a.py"\n'}, "common must be a list"),
    "common missing": ({"archive.toml": 'version = "1"\ncommon = ["nosuch.py"]\n'}, "lists nosuch.py, but there is no"),
    "extra missing": ({"archive.toml": 'version = "1"\nextra = ["nosuch.txt"]\n'}, "lists nosuch.txt, but there is no"),
    "extra a folder": (
        {"archive.toml": 'version = "1"\nextra = ["a"]\n', "a/x": ""},
        "is a folder: an archive",
    ),
    "extra outside": ({"archive.toml": 'version = "1"\nextra = ["/etc/passwd"]\n'}, "leads to /etc/passwd, outside"),
    "extra outside, relative": ({"archive.toml": 'version = "1"\nextra = ["../../x"]\n', "../../x": ""}, "outside"),
    "weights not there": (
        {"archive.toml": 'version = "1"\nserialized_file = "a.onnx"\n'},
        "says serialized_file = 'a.onnx', but",
    ),
    "weights a number": ({"archive.toml": 'version = "1"\nserialized_file = 1\n'}, "must be the name of a file"),
    "weights outside": ({"archive.toml": 'version = "1"\nserialized_file = "/etc/passwd"\n'}, "outside"),
    "weights a folder": ({"archive.toml": 'version = "1"\nserialized_file = "."\n'}, "says serialized_file = '.', but"),
    "network no module": ({"archive.toml": 'version = "1"\nmodel_file = "weights.pt"\n'}, "is a Python module"),
    "network of two classes": (
        {"archive.toml": 'version = "1"\nmodel_file = "net.py"\n', "net.py": "class A: ...\nclass B: ...\n"},
        "net.py:2 defines a second class",
    ),
    "weights twice": ({"archive.toml": 'version = "1"\nextra = ["weights.pt"]\n'}, "both become weights.pt"),
    "weights and an extra of its name": (
        {"archive.toml": 'version = "1"\nserialized_file = "a/x"\nextra = ["x"]\n', "a/x": "", "x": ""},
        "both become x",
    ),
    "equal names": (
        {
            "archive.toml": 'version = "1"\ncommon = ["preprocess.py"]\n',
            "preprocess.py": "",
            "../common/preprocess.py": "",
        },
        "both become preprocess.py",
    ),
    "equal names, extra": (
        {"archive.toml": 'version = "1"\nextra = ["a/x", "b/x"]\n', "a/x": "", "b/x": ""},
        "both become x",
    ),
    "already in": ({"archive.toml": 'version = "1"\nextra = ["handler.py"]\n'}, "both become handler.py"),
}


def test_a_byte_order_mark_is_read_as_it_is_elsewhere(folder, tmp_path):
    (folder / "archive.toml").write_text('\ufeffversion = "2.5"\r\n')
    assert build(folder, tmp_path / "store").version == "2.5"


@pytest.mark.parametrize(("changes", "said"), BROKEN.values(), ids=BROKEN)
def test_refused(folder, tmp_path, changes, said):
    for name, text in changes.items():
        path = folder / name
        if text is None:
            path.unlink()
        else:
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
    error = refusal(folder, tmp_path)
    assert said in error.what


@pytest.mark.parametrize("key", CONFIG)
def test_a_config_without(folder, tmp_path, key):
    (folder / "model-config.yaml").write_text(yaml(**{key: None}))
    error = refusal(folder, tmp_path)
    assert f"does not set {key}" in error.what
    assert f"Add {key}: " in (error.fix or "")


def test_no_such_folder(tmp_path):
    assert "no handler directory" in refusal(tmp_path / "nosuch", tmp_path).what


@pytest.mark.parametrize("name", ["weights.pt", "model.py", "requirements.txt"])
def test_a_link_that_leads_nowhere(folder, tmp_path, name):
    """It must not be left out as if nobody had wanted it."""
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to("gone")
    assert "there is no file" in refusal(folder, tmp_path).what


@pytest.mark.parametrize("name", ["weights.pt", "preprocess.py"])
def test_a_link_to_somewhere_else(folder, tmp_path, name):
    (tmp_path / "elsewhere").write_text("x = 1\n")
    (folder / name).unlink(missing_ok=True)
    (folder / name).symlink_to(tmp_path / "elsewhere")
    error = refusal(folder, tmp_path)
    assert f"leads to {tmp_path / 'elsewhere'}, outside" in error.what


def test_a_file_that_may_not_be_read(folder, tmp_path, monkeypatch):
    original = Path.open

    def refuse(self, *args, **kw):
        if self.name == "weights.pt":
            raise PermissionError(13, "Permission denied", str(self))
        return original(self, *args, **kw)

    monkeypatch.setattr(Path, "open", refuse)  # root may read everything, so chmod would show nothing
    with pytest.raises(ArchiveError, match="cannot be read: Permission denied"):
        build(folder, tmp_path / "store")
    assert list((tmp_path / "store").iterdir()) == []


@pytest.mark.parametrize(
    "text",
    [
        HANDLER + "def f():\n    class Local: ...\n",  # not an attribute of the module
        "from ts.torch_handler.base_handler import BaseHandler\nclass Handler(BaseHandler): ...\n",  # imported
        "try:\n    class Handler: ...\nexcept ImportError:\n    class Handler: ...\n",  # one name
        HANDLER + "kind = type(3)\nhandler = 1\n",
    ],
)
def test_one_class_as_torchserve_counts(folder, tmp_path, text):
    (folder / "handler.py").write_text(text)
    build(folder, tmp_path / "store")


@pytest.mark.parametrize("version", ["1", "1.0", "2024.10.3", "1.0-rc1", "1.0.0rc1", "1.0.post2"])
def test_versions_that_fit_in_a_url(folder, tmp_path, version):
    (folder / "archive.toml").write_text(f'version = "{version}"\n')
    assert build(folder, tmp_path / "store").version == version


def test_without_pyyaml_the_extra_is_named(folder, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(MissingExtraError, match="pyyaml") as caught:
        build(folder, tmp_path / "store")
    assert caught.value.fix == "pip install --find-links https://download.pytorch.org/whl/cpu/torch/ 'goldmar[serve]'"
