"""ci/package makes what could be published, and tries it where there is nothing else of goldmar."""

import email
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the wheel and the source distribution; `output` beside them is what ci/package said."""
    folder = tmp_path_factory.mktemp("dist")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [ROOT / "ci/package", folder], env=os.environ | {"PATH": path}, capture_output=True, text=True, timeout=540
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (folder / "output").write_text(done.stdout, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def wheel(built: Path) -> zipfile.ZipFile:
    (path,) = built.glob("*.whl")
    return zipfile.ZipFile(path)


def metadata(wheel: zipfile.ZipFile) -> email.message.Message:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return email.message_from_bytes(wheel.read(name))


def test_a_model_goes_from_init_to_a_green_check(built: Path) -> None:
    said = (built / "output").read_text(encoding="utf-8")
    assert said.count("PASSED") == 3  # twice by twine, once by goldmar
    assert re.search(r"PASSED.*1 of 1 model compared, 2 drawings, 6 values", said)


def test_the_wheel_holds_every_file_of_the_package_and_of_compose(wheel: zipfile.ZipFile) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "src/goldmar"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    package = {name.removeprefix("src/") for name in tracked.split("\0") if name}
    compose = {f"goldmar/scaffold/compose/{name}" for name in (ROOT / "compose/FILES").read_text().split()}
    names = (ROOT / "src/goldmar/scaffold/COMMON").read_text().split()
    common = {f"goldmar/scaffold/common/{name}" for name in names}
    assert len(package) > 100
    assert package | compose | common <= set(wheel.namelist())


def test_the_wheel_holds_nothing_else(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert tops == {"goldmar", f"goldmar-{metadata(wheel)['Version']}.dist-info"}
    assert not [name for name in wheel.namelist() if "__pycache__" in name or name.endswith((".pyc", ".mar", ".tmp"))]


def test_what_the_wheel_needs_is_what_the_project_says(wheel: zipfile.ZipFile) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needs = metadata(wheel).get_all("Requires-Dist", [])
    assert len([each for each in needs if "extra ==" not in each]) == len(project["dependencies"])
    assert set(metadata(wheel).get_all("Provides-Extra", [])) == set(project["optional-dependencies"])
    assert "Programming Language :: Python :: 3.11" in metadata(wheel).get_all("Classifier", [])


def test_the_readme_of_the_wheel_has_no_link_that_leads_nowhere(wheel: zipfile.ZipFile) -> None:
    text = str(metadata(wheel).get_payload())
    assert "docs/getting-started.md continues from here" in text
    assert not relative_links(text)


def test_with_an_address_the_links_lead_there(tmp_path: Path) -> None:
    for name in ("setup.py", "README.md", "LICENSE"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    address = '[project.urls]\nSource = "https://git.example.com/goldmar/"\n\n[project.scripts]'
    (tmp_path / "pyproject.toml").write_text(project.replace("[project.scripts]", address), encoding="utf-8")
    (tmp_path / "src/goldmar").mkdir(parents=True)
    (tmp_path / "src/goldmar/__init__.py").write_text('__version__ = "1"\n')
    script = "from distutils.core import run_setup; print(run_setup('setup.py').metadata.long_description)"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"import setuptools; {script}", "--quiet"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    text = done.stdout
    assert "[docs/handlers.md](https://git.example.com/goldmar/blob/HEAD/docs/handlers.md)" in text
    assert "](https://git.example.com/goldmar/raw/HEAD/docs/report.svg)" in text
    assert not relative_links(text)


def test_the_source_distribution_holds_what_the_readme_names(built: Path) -> None:
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    links = relative_links((ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(links) > 10
    assert {link.rstrip("/") for link in links} <= inside


def relative_links(text: str) -> list[str]:
    return re.findall(r"\]\((?!https?:|#)([^)]+)\)", text)
