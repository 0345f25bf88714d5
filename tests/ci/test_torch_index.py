"""Which build of torch a stranger's machine gets: ci/torch_index.py and what installs by it, with two small indexes.

One index looks like PyPI, where torch is the build for CUDA; the other like PyTorch's own. pip knows of nothing else.
"""

import http.server
import importlib.util
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from goldmar.environments import builds
from tests.support.packages import Indexes, indexes, wheel

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "ci/torch_index.py"
LOCK = "helper==1.0\ntorch==2.13.0\n"


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Indexes]:
    with indexes(tmp_path) as made:
        yield made


def words(lock: Path, environment: dict[str, str], *options: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, SCRIPT, lock, *options]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def locked(tmp_path: Path, text: str = LOCK) -> Path:
    path = tmp_path / "lock.txt"
    path.write_text(text, encoding="utf-8")
    return path


# ---- the words for pip ----------------------------------------------------------------------------------------------


def test_the_build_for_cpus_comes_from_pytorchs_index_where_pips_has_none(two: Indexes, tmp_path: Path) -> None:
    private = two.cpu.replace("://", "://me:secret@")
    done = words(locked(tmp_path), two.environment(os.environ, cpu=private))
    assert (done.returncode, done.stdout) == (0, f"--find-links {private}/torch/ torch==2.13.0+cpu\n"), done.stderr
    assert f"from {two.cpu}/torch/" in done.stderr  # and no password


def test_what_pip_is_set_up_with_goes_first_and_pytorchs_index_is_not_asked(two: Indexes, tmp_path: Path) -> None:
    done = words(locked(tmp_path), two.environment(os.environ) | {"PIP_FIND_LINKS": str(two.build.parent)})
    assert (done.returncode, done.stdout) == (0, "torch==2.13.0+cpu\n"), done.stderr
    assert [path for path in two.asked if path.startswith("/cpu")] == []


def test_two_builds_side_by_side_are_told_apart(two: Indexes, tmp_path: Path) -> None:
    """cu130 sorts behind cpu: pip by itself would take that one."""
    wheel(two.build.parent, "torch", "2.13.0+cu130", needs=["nvidia-cublas==13"])
    done = words(locked(tmp_path), two.environment(os.environ) | {"PIP_FIND_LINKS": str(two.build.parent)})
    assert done.stdout == "torch==2.13.0+cpu\n"


def test_only_a_build_for_cuda_is_refused_before_any_of_it_is_fetched(two: Indexes, tmp_path: Path) -> None:
    done = words(locked(tmp_path), two.environment(os.environ, cpu=f"{two.stock}/nowhere"))
    assert done.returncode == 2
    assert "CUDA and brings 1 packages for it (nvidia-cublas): some 6 GB" in done.stderr
    assert "fix: GOLDMAR_TORCH_INDEX=URL" in done.stderr
    assert "GOLDMAR_TORCH=cuda" in done.stderr
    assert two.fetched() == []


def test_a_build_for_cuda_can_be_had_by_asking_for_it(tmp_path: Path) -> None:
    done = words(locked(tmp_path), os.environ | {"GOLDMAR_TORCH": "cuda", "PIP_INDEX_URL": "http://127.0.0.1:9"})
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_setting_that_means_nothing_is_refused(tmp_path: Path) -> None:
    done = words(locked(tmp_path), os.environ | {"GOLDMAR_TORCH": "rocm"})
    assert done.returncode == 2
    assert "GOLDMAR_TORCH is 'rocm'" in done.stderr


def test_a_plain_release_that_needs_nothing_of_nvidias_will_do(two: Indexes, tmp_path: Path) -> None:
    done = words(locked(tmp_path, "torch==2.12.0\n"), two.environment(os.environ))
    assert (done.returncode, done.stdout) == (0, "\n"), done.stderr


def test_nothing_at_all_is_a_matter_of_the_network(two: Indexes, tmp_path: Path) -> None:
    done = words(locked(tmp_path, "torch==2.11.0\n"), two.environment(os.environ))
    assert done.returncode == 3
    assert "No matching distribution found for torch==2.11.0" in done.stderr
    assert "pip config list" in done.stderr


def surround(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name in [each for each in os.environ if each not in environment]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def test_an_index_that_says_nothing_does_not_hold_anybody_up(two: Indexes, tmp_path: Path, monkeypatch, capsys) -> None:
    hangs = threading.Event()

    class Silent(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            hangs.wait(60)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Silent)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    script = loaded()
    monkeypatch.setattr(script, "QUICK_S", 2)
    surround(monkeypatch, two.environment(os.environ, cpu=f"http://127.0.0.1:{server.server_port}"))
    try:
        with pytest.raises(SystemExit) as ended:
            script.main([str(locked(tmp_path))])
    finally:
        hangs.set()
        server.shutdown()
        server.server_close()
    assert ended.value.code == 2
    assert "for CUDA" in capsys.readouterr().err


# ---- which lines of a lock file count -------------------------------------------------------------------------------


def loaded() -> ModuleType:
    spec = importlib.util.spec_from_file_location("torch_index", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_goldmar_has_the_same_rules_for_uv() -> None:
    """The script runs where goldmar is not installed, and so has a copy of them."""
    script = loaded()
    assert (script.INDEX, script.PACKAGES) == (builds.INDEX, builds._PACKAGES)
    assert (script.CUDA.pattern, script.CUDA.flags) == (builds._CUDA.pattern, builds._CUDA.flags)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("torch==2.13.0", ["torch==2.13.0"]),
        ("Torch == 2.13.0  # via x", ["Torch==2.13.0"]),
        ("torch==2.13.0 ; sys_platform == 'linux'\ntorch==2.12.0 ; sys_platform == 'darwin'", ["torch==2.13.0"]),
        ("torch==2.13.0 \\\n    --hash=sha256:00 \\\n    --hash=sha256:11", ["torch==2.13.0 with hashes"]),
        ("torchvision==0.28.0\ntorch-model-archiver==0.12.0\ntorchserve==0.12.0", ["torchvision==0.28.0"]),
        ("--index-url https://example.org/simple\n# torch==1\nnumpy==2.4.6", []),
        ("torch==2.13.0\nnvidia-nccl-cu12==2.27\ntritonclient==2.60", ["torch==2.13.0"]),
        ("torch==2.13.0\nnvidia-cublas==13 ; sys_platform == 'win32'", ["torch==2.13.0"]),
        ("﻿torch==2.13.0\r\n", ["torch==2.13.0"]),
    ],
)
def test_the_pins_that_count(text: str, found: list[str], tmp_path: Path) -> None:
    pins = loaded().pins(locked(tmp_path, text))
    assert [f"{str(pin).split(';')[0]}{' with hashes' if hashed else ''}" for pin, hashed in pins] == found


def test_pins_that_a_lock_file_includes_count(tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("torch==2.13.0\n")
    assert [str(pin) for pin, _ in loaded().pins(locked(tmp_path, "-r more.txt\nnumpy==2.4.6\n"))] == ["torch==2.13.0"]


@pytest.mark.parametrize("pinned", ["nvidia-cublas==13", "triton==3.6", "cuda-bindings==13.0", "pytorch-triton==3"])
def test_a_lock_that_was_made_for_cuda_is_refused(pinned: str, tmp_path: Path, capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        loaded().pins(locked(tmp_path, f"torch==2.13.0\n{pinned}\n"))
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "pins 1 packages for CUDA" in said
    assert "uv pip compile --find-links https://download.pytorch.org/whl/cpu/torch/" in said


@pytest.mark.parametrize("pin", ["torch==2.13.0+cu130", "torch @ file:///torch.whl", "torch>=2.6", "torch==2.*"])
def test_what_names_a_build_a_file_or_no_version_is_left_to_pip(pin: str, tmp_path: Path, monkeypatch, capsys) -> None:
    script = loaded()
    monkeypatch.setattr(script, "pip", lambda *_: pytest.fail("pip is asked"))
    assert script.main([str(locked(tmp_path, pin))]) == 0
    assert capsys.readouterr().out == "\n"


def test_with_hashes_pip_is_told_where_and_knows_itself_which(two: Indexes, tmp_path: Path) -> None:
    done = words(locked(tmp_path, "torch==2.13.0+cpu --hash=sha256:00"), two.environment(os.environ))
    assert done.stdout == f"--find-links {two.cpu}/torch/\n"


def test_no_lock_file_is_exit_code_2(tmp_path: Path) -> None:
    done = words(tmp_path / "none.txt", dict(os.environ))
    assert done.returncode == 2
    assert "none.txt cannot be read" in done.stderr


# ---- what installs by them ------------------------------------------------------------------------------------------


def empty_environment(folder: Path) -> Path:
    """A virtual environment with this one's pip and nothing else."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    (site,) = folder.glob("lib/python3.*/site-packages")
    for path in Path(importlib.util.find_spec("pip").origin).parents[1].glob("pip*"):
        if path.name.split("-")[0] == "pip":
            (site / path.name).symlink_to(path)
    return site


def make(target: Path, lock: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = ["make", "-C", ROOT, f"VENV={target}", f"LOCK={lock}", f"{target}/.locked"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)


def test_make_installs_the_build_for_cpus_and_takes_nothing_else_from_there(two: Indexes, tmp_path: Path) -> None:
    site = empty_environment(tmp_path / "venv")
    done = make(tmp_path / "venv", locked(tmp_path), two.environment(os.environ))
    assert done.returncode == 0, done.stdout + done.stderr
    installed = sorted(path.name for path in site.glob("*.dist-info") if not path.name.startswith("pip-"))
    assert installed == ["helper-1.0.dist-info", "torch-2.13.0+cpu.dist-info"]
    assert two.fetched() == ["helper-1.0-py3-none-any.whl", "torch-2.13.0+cpu-py3-none-any.whl"]
    assert {path.split("/")[2] for path in two.asked if path.startswith("/cpu")} == {"torch"}


def test_make_installs_nothing_where_only_cuda_is_to_be_had(two: Indexes, tmp_path: Path) -> None:
    empty_environment(tmp_path / "venv")
    done = make(tmp_path / "venv", locked(tmp_path), two.environment(os.environ, cpu=f"{two.stock}/nowhere"))
    assert done.returncode == 2
    assert "some 6 GB" in done.stderr
    assert two.fetched() == []
    assert not (tmp_path / "venv/.locked").exists()


def test_the_lock_files_are_made_with_the_build_for_cpus(two: Indexes, tmp_path: Path) -> None:
    command = ["make", "-C", ROOT, "-n", f"VENV={tmp_path}", "lock"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    said = done.stdout.splitlines()
    (asks,) = [line for line in said if "torch_index.py" in line and line.endswith(f">{tmp_path}/.torch")]
    compiles = [line for line in said if "piptools compile" in line]
    assert said.index(asks) < said.index(compiles[0])
    asked = words(ROOT / "ci/locks/constraints.in", two.environment(os.environ))
    (tmp_path / ".torch").write_text(asked.stdout, encoding="utf-8")
    assert len(compiles) == 4
    for line in compiles:
        told = line[line.index("$(sed") : line.index(")", line.index("$(sed")) + 1]
        echo = subprocess.run(["bash", "-c", f"echo {told}"], capture_output=True, text=True, check=True)
        assert echo.stdout == f"--find-links {two.cpu}/torch/\n"


@pytest.fixture
def gathering(tmp_path: Path) -> Path:
    """A project with ci/wheelhouse and a lock file."""
    root = tmp_path / "project"
    (root / "ci/locks").mkdir(parents=True)
    for name in ("wheelhouse", "torch_index.py"):
        shutil.copy2(ROOT / "ci" / name, root / "ci" / name)
    (root / "ci/locks/api.txt").write_text(LOCK, encoding="utf-8")
    (root / "ci/locks/base.txt").write_text("helper==1.0\n", encoding="utf-8")
    return root


def wheelhouse(root: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    environment = {**environment, "PYTHON": sys.executable}
    return subprocess.run(
        [root / "ci/wheelhouse"], env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def test_the_wheelhouse_gets_the_build_for_cpus(two: Indexes, gathering: Path) -> None:
    done = wheelhouse(gathering, two.environment(os.environ))
    assert done.returncode == 0, done.stdout + done.stderr
    wheels = sorted(path.name for path in (gathering / "wheelhouse").glob("*.whl"))
    assert [name.split("-py3")[0] for name in wheels] == ["helper-1.0", "pip-99.0", "torch-2.13.0+cpu"]
    # Another lock file, and no index of PyTorch's any more: the wheel is there already.
    (gathering / "ci/locks/base.txt").write_text("helper==1.0\n# the same\n", encoding="utf-8")
    done = wheelhouse(gathering, two.environment(os.environ, cpu=f"{two.stock}/nowhere"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_wheel_that_is_not_to_be_had_is_no_difference_of_a_model(two: Indexes, gathering: Path) -> None:
    """A lock file of `init --ci` names the build itself, and nothing has it: pip's 1 would read as a verdict."""
    (gathering / "ci/locks/api.txt").write_text("torch==2.13.0+cpu\n", encoding="utf-8")
    done = wheelhouse(gathering, two.environment(os.environ, cpu=f"{two.stock}/nowhere"))
    assert done.returncode == 3, done.stdout + done.stderr
    assert "GOLDMAR_TORCH_INDEX=URL" in done.stderr.splitlines()[-1]
    assert not (gathering / "wheelhouse").exists()


def test_the_wheelhouse_never_gets_one_for_cuda(two: Indexes, gathering: Path) -> None:
    environment = two.environment(os.environ, cpu=f"{two.stock}/nowhere") | {"GOLDMAR_TORCH": "cuda"}
    done = wheelhouse(gathering, environment)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "for CUDA" in done.stderr
    assert two.fetched() == []
    assert not (gathering / "wheelhouse").exists()


def test_the_build_of_an_image_asks_for_it_as_well(two: Indexes, tmp_path: Path, monkeypatch, capfd) -> None:
    """compose/install.py, where there is no wheelhouse; both lie in one folder while an image is built."""
    for name in ("compose/install.py", "ci/torch_index.py"):
        shutil.copy2(ROOT / name, tmp_path)
    spec = importlib.util.spec_from_file_location("install", tmp_path / "install.py")
    install = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(install)
    lock = locked(tmp_path)
    # As in a container whose build arguments were not set: they are there, and empty.
    surround(monkeypatch, two.environment(os.environ) | {"PIP_EXTRA_INDEX_URL": "", "PIP_FIND_LINKS": ""})
    assert install.for_cpus(lock) == ["--find-links", f"{two.cpu}/torch/", "torch==2.13.0+cpu"]
    with pytest.raises(SystemExit) as ended:
        install.for_cpus(tmp_path / "none.txt")
    assert ended.value.code == 2
    assert "none.txt cannot be read" in capfd.readouterr().err  # the script's own words


def test_every_image_that_installs_has_the_script() -> None:
    for path in ROOT.glob("compose/*.Dockerfile"):
        assert "COPY ci/torch_index.py compose/install.py /build/" in path.read_text(encoding="utf-8")
    assert "!ci/torch_index.py" in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
