"""The build of torch in the environments of lock files: uv, with two small indexes and nothing else."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from goldmar.environments import Environments
from goldmar.environments.builds import for_cpus
from goldmar.environments.lockfile import make_lock
from goldmar.environments.uv import _compiled, _pip_settings
from goldmar.errors import ConfigError, UninstallableError
from goldmar.locks import Lock, read_lock
from tests.support.packages import Indexes, index, indexes, wheel

LOCK = "helper==1.0\ntorch==2.13.0\n"


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Indexes]:
    with indexes(tmp_path) as made:
        environment = made.environment(os.environ)
        for name in [each for each in os.environ if each not in environment]:
            monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("GOLDMAR_CACHE", str(tmp_path / "cache"))
        monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv"))
        _pip_settings.cache_clear()
        _compiled.cache_clear()
        yield made
    _pip_settings.cache_clear()
    _compiled.cache_clear()


def lock(tmp_path: Path, text: str = LOCK) -> Lock:
    path = tmp_path / "lock.txt"
    path.write_text(text)
    return read_lock(path)


def installed(lock: Lock) -> str:
    with Environments().use(lock) as environment:
        command = [environment.python, "-c", "import torch; print(torch.BUILD)"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_it_is_the_one_for_cpus_and_nothing_else_comes_from_there(two: Indexes, tmp_path: Path) -> None:
    assert installed(lock(tmp_path)) == "cpu"
    assert two.fetched() == ["helper-1.0-py3-none-any.whl", "torch-2.13.0+cpu-py3-none-any.whl"]
    assert {path.split("/")[2] for path in two.asked if path.startswith("/cpu")} == {"torch"}


def test_the_resolver_is_told_as_well(two: Indexes, tmp_path: Path) -> None:
    resolved = Environments().resolve(lock(tmp_path))
    assert {pin.name: pin.version for pin in resolved.pins.values()} == {"helper": "1.0", "torch": "2.13.0+cpu"}


def test_what_uv_is_set_up_with_goes_first(two: Indexes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("UV_FIND_LINKS", str(two.build.parent))
    assert installed(lock(tmp_path)) == "cpu"
    assert [path for path in two.asked if path.startswith("/cpu")] == []


def test_where_pip_has_no_index_uv_asks_none(two: Indexes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(two.build.parent))
    with pytest.raises(UninstallableError):
        installed(lock(tmp_path, "torch==2.12.0\n"))  # is in the index alone
    assert [path for path in two.asked if path.startswith("/stock")] == []


def test_a_lock_file_may_say_where_itself(two: Indexes, tmp_path: Path) -> None:
    assert installed(lock(tmp_path, f"--find-links {two.build.parent}\n{LOCK}")) == "cpu"
    assert [path for path in two.asked if path.startswith("/cpu")] == []


def test_only_one_for_cuda_is_refused_before_any_of_it_is_fetched(
    two: Indexes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOLDMAR_TORCH_INDEX", f"{two.stock}/nowhere")
    with pytest.raises(ConfigError, match=r"for CUDA and brings 1 packages for it \(nvidia-cublas, \.\.\.\)") as caught:
        installed(lock(tmp_path))
    assert "GOLDMAR_TORCH=cuda" in caught.value.fix
    assert two.fetched() == []
    before = Environments().digest(lock(tmp_path))
    monkeypatch.setenv("GOLDMAR_TORCH", "cuda")
    assert Environments().digest(lock(tmp_path)) != before
    assert installed(lock(tmp_path)) == "cuda"


def test_a_build_of_no_known_kind_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOLDMAR_TORCH", "rocm")
    with pytest.raises(ConfigError, match="GOLDMAR_TORCH is 'rocm'"):
        for_cpus(lock(tmp_path), lambda *_: pytest.fail("nothing is resolved for it"))


def test_a_lock_that_pins_packages_for_cuda_is_taken_at_its_word(two: Indexes, tmp_path: Path) -> None:
    assert installed(lock(tmp_path, f"{LOCK}nvidia-cublas==13\n")) == "cuda"


@pytest.mark.parametrize("name", ["torch==2.13.0+cu130", "torch==2.12.0"])
def test_another_build_and_a_plain_one_for_cpus_stay(name: str, two: Indexes, tmp_path: Path) -> None:
    wheel(tmp_path / "wheels", "torch", "2.13.0+cu130", "BUILD = 'cu130'")
    chosen = installed(lock(tmp_path, f"--find-links wheels\n{name}\nhelper==1.0\n"))
    assert chosen == {"torch==2.13.0+cu130": "cu130", "torch==2.12.0": "plain"}[name]


# ---- making lock files ----------------------------------------------------------------------------------------------


def made(tmp_path: Path, *wanted: str) -> dict[str, str]:
    (tmp_path / "api.in").write_text("".join(f"{line}\n" for line in wanted))
    text = make_lock(tmp_path, "api.in", "api.txt")
    assert "constraints" not in text  # ours, in a folder that is gone
    assert str(tmp_path) not in text
    (tmp_path / "api.txt").write_text(text)
    return {pin.name: pin.version for pin in read_lock(tmp_path / "api.txt").pins.values()}


def test_a_new_lock_file_is_for_cpus(two: Indexes, tmp_path: Path) -> None:
    assert made(tmp_path, "torch", "helper==1.0") == {"helper": "1.0", "torch": "2.13.0+cpu"}
    assert {path.split("/")[2] for path in two.asked if path.startswith("/cpu")} == {"torch"}


def test_where_the_newest_is_for_cuda_alone_it_is_the_newest_for_cpus(two: Indexes, tmp_path: Path) -> None:
    newer = wheel(tmp_path / "newer", "torch", "2.15.0", needs=["nvidia-cublas==13"])
    index(two.folder / "stock", [newer, *tmp_path.glob("made/torch-*.whl")])
    assert made(tmp_path, "torch") == {"torch": "2.13.0+cpu"}


def test_what_the_models_ask_for_counts_and_pins_stay(two: Indexes, tmp_path: Path) -> None:
    assert made(tmp_path, "torch<2.13") == {"torch": "2.12.0", "helper": "1.0"}
    index(two.folder / "stock", [wheel(tmp_path / "newer", "helper", v) for v in ("1.0", "1.1")])
    assert made(tmp_path, "helper") == {"helper": "1.0"}


def test_no_lock_file_is_made_for_cuda(two: Indexes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOLDMAR_TORCH_INDEX", f"{two.stock}/nowhere")
    with pytest.raises(ConfigError, match=r"api\.in: no build of torch for CPUs") as caught:
        made(tmp_path, "torch")
    assert "GOLDMAR_TORCH_INDEX=URL" in caught.value.fix
