"""Whether an archive holds what its handler loads: read from the source, for handlers of every style."""

import zipfile
from pathlib import Path

import pytest

from goldmar.archive import build, read
from goldmar.errors import ArchiveError

PLAIN = """
import json
from pathlib import Path

class Handler:
    def initialize(self, context):
        self.limits = json.loads((Path(context.system_properties["model_dir"]) / "limits.json").read_text())

    def handle(self, data, context):
        return data
"""
BASE = "from ts.torch_handler.base_handler import BaseHandler\n"
STYLES = {
    "itself": {"handler.py": BASE + "class Handler(BaseHandler): ...\n"},
    "by another name": {
        "handler.py": "import ts.torch_handler.base_handler as base\nclass Handler(base.BaseHandler): ...\n"
    },
    "of TorchServe's own": {
        "handler.py": "from ts.torch_handler.text_classifier import TextClassifier as T\nclass Handler(T): ...\n"
    },
    "with super": {
        "handler.py": BASE
        + "class Handler(BaseHandler):\n    def initialize(self, context):\n        super().initialize(context)\n"
    },
    "by its class": {
        "handler.py": BASE
        + "class Handler(BaseHandler):\n    def initialize(me, x):\n        BaseHandler.initialize(me, x)\n"
    },
    "two modules away": {
        "handler.py": "import shared\nclass Handler(shared.Middle): ...\n",
        "shared.py": "from lowest import Lowest\nclass Mixin: ...\nclass Middle(Mixin, Lowest): ...\n",
        "lowest.py": BASE + "class Lowest(BaseHandler): ...\n",
    },
}
DOES_WITHOUT = {
    "no class of TorchServe's": {"handler.py": "class Handler: ...\n"},
    "its own initialize": {
        "handler.py": BASE + "class Handler(BaseHandler):\n    def initialize(self, context):\n        self.x = 1\n"
    },
    "its own, two modules away": {
        "handler.py": "from shared import Middle\nclass Handler(Middle): ...\n",
        "shared.py": BASE
        + "class Middle(BaseHandler):\n    def initialize(self, context):\n        self.x.initialize()\n",
    },
    "a base that loads nothing": {
        "handler.py": "from ts.torch_handler.vllm_handler import VLLMHandler\nclass Handler(VLLMHandler): ...\n"
    },
    "a base from elsewhere": {"handler.py": "from somewhere import Base\nclass Handler(Base): ...\n"},
    "in a circle": {
        "handler.py": "from shared import Middle\nclass Handler(Middle): ...\n",
        "shared.py": "from shared import Middle\nclass Middle(Middle): ...\n",
    },
    "a key that may be missing": {
        "handler.py": 'class Handler:\n    def initialize(self, c):\n        c.manifest.get("serializedFile")\n'
    },
}


@pytest.fixture
def folder(tmp_path) -> Path:
    part = tmp_path / "handlers/part"
    part.mkdir(parents=True)
    (part / "model-config.yaml").write_text(
        "minWorkers: 1\nmaxWorkers: 1\nbatchSize: 1\nmaxBatchDelay: 0\nstartupTimeout: 60\nresponseTimeout: 30\n"
    )
    (part / "archive.toml").write_text('version = "1.0"\n')
    return part


def fill(folder: Path, files: dict[str, str], *, recipe: str = "") -> None:
    for name, text in files.items():
        (folder / name).write_text(text)
    with (folder / "archive.toml").open("a") as file:
        file.write(recipe)


def refusal(folder: Path) -> ArchiveError:
    with pytest.raises(ArchiveError) as caught:
        build(folder, folder.parent.parent / "store")
    assert caught.value.fix
    return caught.value


def accepted(folder: Path) -> tuple[str | None, str | None]:
    manifest = read(build(folder, folder.parent.parent / "store").path)
    return manifest.serialized_file, manifest.model_file


@pytest.mark.parametrize("files", DOES_WITHOUT.values(), ids=DOES_WITHOUT)
def test_a_handler_that_loads_nothing_needs_nothing(folder, files):
    fill(folder, files)
    assert accepted(folder) == (None, None)


@pytest.mark.parametrize("files", STYLES.values(), ids=STYLES)
def test_base_handler_needs_weights(folder, files):
    fill(folder, files)
    error = refusal(folder)
    assert "has no weights.pt" in error.what
    assert "leaves loading to BaseHandler" in error.what
    assert "serialized_file" in error.fix


@pytest.mark.parametrize("files", STYLES.values(), ids=STYLES)
def test_base_handler_needs_a_network_for_a_state_dict(folder, files):
    fill(folder, {**files, "weights.pt": "a state_dict"})
    error = refusal(folder)
    assert "has no model.py" in error.what
    fill(folder, {"network.py": "class Net: ...\n"}, recipe='model_file = "network.py"\n')
    assert accepted(folder) == ("weights.pt", "network.py")


@pytest.mark.parametrize("files", STYLES.values(), ids=STYLES)
def test_base_handler_loads_torchscript_and_onnx_by_themselves(folder, files):
    fill(folder, files)
    with zipfile.ZipFile(folder / "weights.pt", "w") as archive:
        archive.writestr("net/code/__torch__.py", "")
    assert accepted(folder) == ("weights.pt", None)
    fill(folder, {"net.onnx": "onnx"}, recipe='serialized_file = "net.onnx"\n')
    assert accepted(folder) == ("net.onnx", None)


def test_base_handler_loads_no_other_kind_of_file(folder):
    fill(folder, {**STYLES["itself"], "trees.ubj": "xgboost"}, recipe='serialized_file = "trees.ubj"\n')
    assert "cannot load trees.ubj without a model.py" in refusal(folder).what


def test_a_loader_of_its_own_may_load_anything(folder):
    own = BASE + "class Handler(BaseHandler):\n    def _load_torchscript_model(self, path):\n        return 1\n"
    fill(folder, {"handler.py": own, "weights.pt": "what it likes"})
    assert accepted(folder) == ("weights.pt", None)


def test_a_network_without_weights_is_asked_for_in_so_many_words(folder):
    fill(folder, {**STYLES["itself"], "model.py": "class Net: ...\n"})
    assert "has no weights.pt" in refusal(folder).what
    fill(folder, {}, recipe='serialized_file = ""\n')
    assert accepted(folder) == (None, "model.py")


def test_drawing_handlers_loader_does_not_do_without(folder):
    """As handlers/common has it: weights are read whatever the manifest says."""
    own = BASE + "class Handler(BaseHandler):\n    def _load_pickled_model(self, *args):\n        return 1\n"
    fill(folder, {"handler.py": own, "model.py": "class Net: ...\n"}, recipe='serialized_file = ""\n')
    assert "has no weights.pt" in refusal(folder).what


@pytest.mark.parametrize(("key", "usual"), [("serializedFile", "weights.pt"), ("modelFile", "model.py")])
def test_a_key_of_the_manifest_that_is_read_must_be_there(folder, key, usual):
    reads = f'class Handler:\n    def initialize(self, context):\n        context.manifest["model"]["{key}"]\n'
    fill(folder, {"handler.py": reads})
    error = refusal(folder)
    assert f"handler.py:3 reads {key} of the manifest" in error.what
    fill(folder, {usual: "class Net: ...\n"})
    assert usual in accepted(folder)


def test_a_file_that_is_named_goes_along(folder):
    fill(folder, {"handler.py": PLAIN, "limits.json": "{}"})
    error = refusal(folder)
    assert "names limits.json, which does not go into the archive" in error.what
    assert 'serialized_file = "limits.json"' in error.fix
    fill(folder, {}, recipe='serialized_file = "limits.json"\n')
    assert accepted(folder) == ("limits.json", None)


@pytest.mark.parametrize("place", ["lib/__init__.py", "../common/lib.py"])
def test_a_module_of_the_handlers_that_is_imported_goes_along(folder, place):
    """Otherwise a worker would die of it."""
    fill(folder, {"handler.py": "from lib.a import one\nclass Handler: ...\n"})
    accepted(folder)  # of an installed package, as far as can be told
    (folder / place).parent.mkdir(exist_ok=True)
    fill(folder, {place: "one = 1\n"})
    error = refusal(folder)
    assert "handler.py:1 imports lib: that is " in error.what
    for tried in ("try:\n    import lib\nexcept ImportError: ...\n", "import json\n"):
        fill(folder, {"handler.py": f"{tried}class Handler: ...\n"})
        accepted(folder)


def test_weights_that_are_named_are_there(folder):
    fill(folder, {"handler.py": PLAIN.replace("limits.json", "weights.pt")})
    assert "names weights.pt, and" in refusal(folder).what


def test_a_module_called_model_that_is_none(folder):
    fill(folder, {"handler.py": "from model import rule\nclass Handler: ...\n", "model.py": "def rule(): ...\n"})
    error = refusal(folder)
    assert "model.py defines no class" in error.what
    assert 'model_file = ""' in error.fix
    fill(folder, {}, recipe='model_file = ""\n')
    assert accepted(folder) == (None, None)
