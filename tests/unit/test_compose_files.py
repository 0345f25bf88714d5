"""What can be said of compose/ without a Docker engine; tests/compose runs the rest."""

import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from fnmatch import fnmatch
from pathlib import Path
from types import ModuleType

import pytest
import yaml
from PIL import Image

from goldmar import mar
from goldmar.archive import line, write_labels
from goldmar.config import load_project
from goldmar.errors import GoldenError, ServerError
from goldmar.pipeline.project import FileStatus, Prepared, prepare
from goldmar.pipeline.selection import select_models
from goldmar.project_files import digest
from goldmar.serve.engine import Compose, find_compose

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = ROOT / "compose"


def module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"compose_{name}", COMPOSE / f"{name}.py")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


def zipped(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


# --- the files --------------------------------------------------------------------------------------------------------


def test_the_listing_names_every_file_of_compose():
    """What it misses would be missing in a project that `goldmar init --compose` was called in."""
    listed = (COMPOSE / "FILES").read_text(encoding="utf-8").split()
    there = [str(path.relative_to(ROOT)) for path in COMPOSE.rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert sorted(name for name in listed if name.startswith("compose/")) == sorted(there)
    assert listed == sorted(set(listed))
    assert [name for name in listed if not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("name", ["api", "batch"])
def test_a_dockerfile_passes_hadolint(name):
    done = subprocess.run(
        [Path(sys.executable).with_name("hadolint"), COMPOSE / f"{name}.Dockerfile"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_hadolint_says_no_to_a_bad_one(tmp_path):
    bad = tmp_path / "Dockerfile"
    bad.write_text("FROM debian\nRUN cd /tmp && sudo apt-get install gcc\n", encoding="utf-8")
    done = subprocess.run([Path(sys.executable).with_name("hadolint"), bad], capture_output=True, text=True)
    assert done.returncode == 1


@pytest.mark.parametrize("script", ["base-image", "package", "wheelhouse", "with-docker"])
def test_a_script_passes_shellcheck(script):
    assert os.access(ROOT / "ci" / script, os.X_OK)
    command = [Path(sys.executable).with_name("shellcheck"), ROOT / "ci" / script]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_nothing_has_to_be_pulled_to_read_a_dockerfile():
    """A `# syntax=` line has BuildKit fetch an image, and `RUN --mount` is not for the classic builder."""
    for path in COMPOSE.glob("*.Dockerfile"):
        text = path.read_text(encoding="utf-8")
        assert "syntax=" not in text
        assert "--mount" not in text
        assert set(re.findall(r"^FROM (\S+)", text, re.MULTILINE)) == {"${BASE_IMAGE}"}


def test_every_setting_is_in_the_docs():
    said = (COMPOSE / "docker-compose.yml").read_text(encoding="utf-8")
    docs = (ROOT / "docs/compose.md").read_text(encoding="utf-8")
    names = set(re.findall(r"\$\{([A-Z_]+)", said)) - {"GOLDMAR_SOURCE", "GOLDMAR_BATCH_MEMORY", "GOLDMAR_BATCH_CPUS"}
    assert [name for name in sorted(names) if f"`{name}`" not in docs] == []


def test_the_base_images_agree():
    """The Dockerfiles' own default is that of the compose file."""
    images = set()
    for path in (*COMPOSE.glob("*.Dockerfile"), COMPOSE / "docker-compose.yml"):
        images |= set(re.findall(r"BASE_IMAGE(?:=|:-)([\w.:-]+)", path.read_text(encoding="utf-8")))
    assert len(images) == 1


def test_both_services_give_up_every_privilege():
    services = yaml.safe_load((COMPOSE / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert {"mem_limit", "memswap_limit", "cpus", "pids_limit"} <= set(service), name
    assert "ports" not in services["batch"]


def test_torchserve_listens_on_loopback_but_for_predictions():
    lines = (COMPOSE / "config.properties").read_text(encoding="utf-8").splitlines()
    said = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert [key for key, value in said.items() if "0.0.0.0" in value] == ["inference_address"]
    assert said["disable_token_authorization"] == said["enable_model_api"] == said["enable_envvars_config"] == "false"
    assert said["allowed_urls"] == "file:///opt/goldmar/models/.*"


# --- the scripts in the images ----------------------------------------------------------------------------------------


def build_of_archives(folder: Path, said: str) -> subprocess.CompletedProcess[str]:
    """The step of api.Dockerfile that takes the archives, with the files that it copies; goldmar is out of reach."""
    dockerfile = (COMPOSE / "api.Dockerfile").read_text(encoding="utf-8")
    copied = re.findall(r"^COPY (?!--)(.+) /build/$", dockerfile, re.MULTILINE)
    for pattern in " ".join(copied).replace("${GOLDMAR_SOURCE}", "src/goldmar").split():
        for path in ROOT.glob(pattern):
            (folder / "build").mkdir(exist_ok=True)
            shutil.copy(path, folder / "build")
    return subprocess.run(
        [sys.executable, "-S", "build/archives.py", "store", "target"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "GOLDMAR_ARCHIVES": said},
        capture_output=True,
        text=True,
    )


def test_the_build_takes_the_archives_of_the_label_and_no_other(tmp_path):
    (tmp_path / "store").mkdir()
    members = {"handler.py": b"x", "MAR-INF/MANIFEST.json": json.dumps({}).encode(), "é.bin": bytes(100), "a/b": b""}
    path = zipped(tmp_path / "store" / "m.mar", members)
    done = build_of_archives(tmp_path, f"m={mar.digest(path)}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "target/models/m.mar").read_bytes() == path.read_bytes()
    assert not (tmp_path / "target/zips.py").exists()
    assert not (tmp_path / "target/names.py").exists()
    assert "the label would say" in build_of_archives(tmp_path, f"m=sha256:{'0' * 64}").stderr


def test_the_build_refuses_an_archive_that_holds_another_model_for_torchserve(tmp_path):
    (tmp_path / "store").mkdir()
    path = zipped(tmp_path / "store" / "m.mar", {"handler.py": b"x"})
    said = f"m={mar.digest(path)}"
    with zipfile.ZipFile(hidden := io.BytesIO(), "w") as archive:
        archive.writestr("handler.py", b"evil")
    # A local header before the first that the directory has, which zipfile takes for the prefix of another program.
    path.write_bytes(hidden.getvalue()[: hidden.getvalue().index(b"PK\x01\x02")] + path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        assert archive.read("handler.py") == b"x"
    done = build_of_archives(tmp_path, said)
    assert done.returncode != 0
    assert "error: m.mar is not served: " in done.stderr
    assert "fix: " in done.stderr
    assert not (tmp_path / "target").exists()


def test_the_canary_is_a_drawing():
    with Image.open(io.BytesIO(module("ready").drawing())) as image:
        image.load()
        assert (image.format, image.mode, image.size) == ("PNG", "L", (64, 64))
        assert sorted(set(image.get_flattened_data())) == [0, 255]


LOG = """\
2026-11-21T07:00:00,000\tINFO\tW-9000-gear_1.0-stdout\tMODEL_LOG\tTraceback (most recent call last):
2026-11-21T07:00:00,000\tINFO\tW-9000-gear_1.0-stdout\tMODEL_LOG\t  File "/tmp/models/{folder}/handler.py", line 1
2026-11-21T07:00:00,000\tINFO\tW-9000-gear_1.0-stdout\tMODEL_LOG\tImportError: no such thing
2026-11-21T07:00:00,000\tINFO\tW-9000-gear_1.0-stdout\tMODEL_LOG\tTraceback (most recent call last):
2026-11-21T07:00:00,000\tINFO\tW-9000-gear_1.0-stdout\tMODEL_LOG\t  File "/opt/venv/ts/service.py", line 1
2026-11-21T07:00:00,000\tINFO\tW-9000-gear_1.0-stdout\tMODEL_LOG\tModuleNotFoundError: ts.torch_handler.handler
2026-11-21T07:00:00,000\tINFO\tW-9000-gear_1.0\tWorkerThread\tRetry worker: 9000 in 1 seconds.
""".format(folder="0" * 32)


def test_a_death_is_told_by_the_traceback_of_the_handler(tmp_path):
    ready = module("ready")
    ready.SERVER = tmp_path
    assert ready.died_of("gear") == ""
    (tmp_path / "server.log").write_text(LOG, encoding="utf-8")
    assert ready.died_of("gear").splitlines()[-1] == "ImportError: no such thing"
    assert ready.died_of("gear_teeth") == ""
    (tmp_path / "server.log").write_text("\n".join(LOG.splitlines()[:-1]), encoding="utf-8")
    assert ready.died_of("gear") == ""  # a traceback is no death


@pytest.fixture
def batch(tmp_path, monkeypatch):
    """batch.py with its folders below tmp_path, its goldens copied; gear is served and has no golden."""
    loaded = module("batch")
    loaded.GOLDEN, loaded.WORK = tmp_path / "golden", tmp_path / "work"
    for name in ("obtained.v2/expected.csv", "obtained.v2/obtained.csv", "obtained.v2/drawings/obtained.1.json"):
        (loaded.GOLDEN / name).parent.mkdir(parents=True, exist_ok=True)
        (loaded.GOLDEN / name).write_text("", encoding="utf-8")
    for name in ("GOLDMAR_MODELS", "GOLDMAR_NO_GOLDEN"):
        monkeypatch.delenv(name, raising=False)
    shutil.copytree(loaded.GOLDEN, loaded.WORK / "golden", ignore=loaded.left_out)
    return loaded


def test_the_batch_copies_models_and_drawings_of_any_name(batch):
    copied = {str(path.relative_to(batch.WORK)) for path in batch.WORK.rglob("*") if path.is_file()}
    assert copied == {"golden/obtained.v2/expected.csv", "golden/obtained.v2/drawings/obtained.1.json"}


def test_the_batch_does_not_pass_over_a_model_that_is_served(batch, monkeypatch):
    batch.lay_out(["gear", "obtained.v2"])
    # Of a model that is asked, an archive would be read: one that is none must not be there.
    assert [path.name for path in batch.WORK.glob("model_store/*")] == ["gear.mar"]
    with pytest.raises(GoldenError, match="gear has no golden"):
        select_models(load_project(batch.WORK))
    monkeypatch.setenv("GOLDMAR_NO_GOLDEN", ' gear = its "drawings" are secret; ')
    batch.lay_out(["gear", "obtained.v2"])
    project = load_project(batch.WORK)
    assert select_models(project) == ("obtained.v2",)
    assert project.no_golden == {"gear": 'its "drawings" are secret'}


def test_the_api_tells_which_models_it_serves(tmp_path):
    ready = module("ready")
    ready.MODELS = ready.SHARED = tmp_path
    zipped(tmp_path / "gear.mar", {})
    ready.tell("Ready.", "", ready=True, hopeless=False)
    assert json.loads((tmp_path / "state.json").read_bytes())["models"] == ["gear"]


@pytest.mark.parametrize("model", ["größe", "common", "notes.md", "_x"])
def test_the_build_refuses_a_name_with_2(tmp_path, model):
    (tmp_path / "store").mkdir()
    zipped(tmp_path / f"store/{model}.mar", {"x": b"1"})
    (tmp_path / "scripts").mkdir()  # as in the image while it is built
    for script in (COMPOSE / "archives.py", ROOT / "src/goldmar/names.py", ROOT / "src/goldmar/zips.py"):
        shutil.copy(script, tmp_path / "scripts")
    for named in ("", model):
        done = subprocess.run(
            [sys.executable, tmp_path / "scripts/archives.py", tmp_path / "store", tmp_path / "target"],
            capture_output=True,
            text=True,
            env={**os.environ, "GOLDMAR_MODELS": named},
        )
        assert (done.returncode, f"{model!r} is no name for a model" in done.stderr) == (2, True)
        assert not (tmp_path / "target").exists()


# --- labels -----------------------------------------------------------------------------------------------------------


def test_labels_are_of_the_archives_that_are_there(tmp_path):
    zipped(tmp_path / "a.mar", {"x": b"1"})
    zipped(tmp_path / "b.mar", {"x": b"2"})
    digests = {name: mar.digest(tmp_path / f"{name}.mar") for name in "ab"}
    path = write_labels(tmp_path, {"a": digests["a"]})
    said = yaml.safe_load(path.read_text(encoding="utf-8"))["services"]["api"]["build"]["args"]["GOLDMAR_ARCHIVES"]
    assert said == "${GOLDMAR_ARCHIVES:-" + line(digests) + "}"

    (tmp_path / "b.mar").unlink()
    write_labels(tmp_path, {})
    assert "b=sha256" not in path.read_text(encoding="utf-8")
    new = "sha256:" + "1" * 64
    write_labels(tmp_path, {"a": new})
    assert f"a={new}" in path.read_text(encoding="utf-8")


# --- goldmar init --compose -------------------------------------------------------------------------------------------


def fates(prepared: Prepared) -> dict[str, str]:
    return {each.path: each.status for each in prepared.outcomes if not each.path.startswith("compose/goldmar/")}


def test_a_project_gets_the_files_and_goldmar_itself(tmp_path):
    written = fates(prepare(tmp_path))
    assert written.keys() - {".gitignore"} == set((COMPOSE / "FILES").read_text(encoding="utf-8").split())
    assert set(written.values()) == {FileStatus.written}
    assert os.access(tmp_path / "ci/wheelhouse", os.X_OK)
    assert (tmp_path / "compose/goldmar/__main__.py").is_file()
    assert not (tmp_path / "compose/goldmar/scaffold").exists()
    assert "!compose/goldmar" in (tmp_path / ".dockerignore").read_text(encoding="utf-8")
    assert ":-compose/goldmar}" in (tmp_path / "compose/docker-compose.yml").read_text(encoding="utf-8")
    again = prepare(tmp_path)
    assert {each.status for each in again.outcomes} == {FileStatus.same}


def test_what_it_wrote_is_upgraded_and_what_was_changed_is_left(tmp_path):
    """An earlier goldmar is played by what it would have written, and its digests."""
    prepare(tmp_path)
    said = json.loads((tmp_path / "ci/written.json").read_text())
    for name in ("compose/ready.py", "compose/serve.py", "compose/goldmar/cli/app.py", "compose/goldmar/gone.py"):
        (tmp_path / name).write_text("earlier\n")
        said["files"][name] = digest(b"earlier\n")
    (tmp_path / "compose/serve.py").write_text("earlier, and mine\n")
    (tmp_path / "ci/written.json").write_text(json.dumps(said))
    done = prepare(tmp_path)
    assert {each.path: each.status for each in done.outcomes if each.status is not FileStatus.same} == {
        "compose/ready.py": FileStatus.upgraded,
        "compose/serve.py": FileStatus.beside,
        "compose/goldmar/cli/app.py": FileStatus.upgraded,
        "compose/goldmar/gone.py": FileStatus.removed,
    }
    assert (tmp_path / "compose/ready.py").read_bytes() == (COMPOSE / "ready.py").read_bytes()
    assert (tmp_path / "compose/serve.py").read_text() == "earlier, and mine\n"
    assert (tmp_path / "compose/serve.py.new").read_bytes() == (COMPOSE / "serve.py").read_bytes()


def test_a_dockerignore_of_the_users_own_lets_through_what_the_images_copy(tmp_path):
    (tmp_path / ".dockerignore").write_bytes(b"*\r\n!mine\r\nmodel_store\r\n")
    assert fates(prepare(tmp_path))[".dockerignore"] is FileStatus.upgraded
    text = (tmp_path / ".dockerignore").read_bytes().decode()
    assert text.startswith("*\r\n!mine\r\nmodel_store\r\n")
    behind = text.partition("model_store\r\n")[2].splitlines()
    ours = (ROOT / ".dockerignore").read_text(encoding="utf-8").replace("src/goldmar", "compose/goldmar").splitlines()
    assert [line for line in ours if line.startswith("!")] == behind[1:-1]
    assert fates(prepare(tmp_path))[".dockerignore"] is FileStatus.same
    assert (tmp_path / ".dockerignore").read_bytes().decode() == text


def test_every_file_that_an_image_copies_is_let_through():
    let = [text[1:] for text in (ROOT / ".dockerignore").read_text().splitlines() if text.startswith("!")]
    copied = set()
    for path in COMPOSE.glob("*.Dockerfile"):
        for found in re.findall(r"^COPY (?!--from)(.+) \S+$", path.read_text(encoding="utf-8"), re.MULTILINE):
            words = found.replace("${GOLDMAR_SOURCE}", "src/goldmar").split()
            copied |= {re.sub(r"\[(.)\]", r"\1", word) for word in words if not word.startswith("$")}
            # A pattern that may match nothing is for the last part of a path: its folder has to be there.
            assert [word for word in words if "[" in word and not (ROOT / word).parent.is_dir()] == []
    assert {"ci/torch_index.py", "compose/install.py"} <= copied
    missing = [name for name in copied if not any(fnmatch(name, each) or name.startswith(each) for each in let)]
    assert "src/goldmar/zips.py" in copied
    assert missing == ["wheelhouse"]  # the folder, of which the wheels are let through


def fake(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
    path.chmod(0o755)


# --- ci/base-image --pin ----------------------------------------------------------------------------------------------

DIGEST = "sha256:" + "ab" * 32


def pin(folder: Path, docker: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """ci/base-image --pin in a project of its own; `docker` stands in for what would pull from a registry."""
    for name in ("ci/base-image", "compose/env/dev.env", "compose/env/prod.env"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        if not (folder / name).exists():
            shutil.copy(ROOT / name, folder / name)
    fake(folder, "docker", docker)
    command = [folder / "ci/base-image", "--pin", *arguments]
    path = f"{folder}:{os.environ['PATH']}"
    return subprocess.run(command, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False)


def test_the_base_is_pinned_by_the_digest_that_the_registry_gave(tmp_path):
    docker = f'[ "$1" = pull ] || echo "mirror.example/python@{DIGEST}"'
    before = (ROOT / "compose/env/dev.env").read_text()
    for _ in range(2):
        done = pin(tmp_path, docker)
        assert done.returncode == 0, done.stderr
    line = f"BASE_IMAGE=python:3.11-slim-bookworm@{DIGEST}\n"
    assert (tmp_path / "compose/env/dev.env").read_text() == before + line
    assert (tmp_path / "compose/env/prod.env").read_text().endswith(line)
    assert pin(tmp_path, docker, f"other.example/base:1@{DIGEST}").returncode == 0
    assert (tmp_path / "compose/env/dev.env").read_text() == f"{before}BASE_IMAGE=other.example/base:1@{DIGEST}\n"


@pytest.mark.parametrize(("docker", "said"), [("exit 1", "cannot be pulled"), ("exit 0", "knows no digest")])
def test_without_a_digest_nothing_is_pinned(tmp_path, docker, said):
    done = pin(tmp_path, docker)
    assert done.returncode == 2
    assert said in done.stderr
    assert "fix: " in done.stderr
    assert (tmp_path / "compose/env/dev.env").read_text() == (ROOT / "compose/env/dev.env").read_text()


# --- finding an engine ------------------------------------------------------------------------------------------------


# What the docker command of Docker 20.10 and 28 prints in each case.
DENIED = "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock"
ABSENT = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"


@pytest.mark.parametrize(
    ("script", "what", "fix"),
    [
        (f"echo '{DENIED}' >&2; exit 1", "does not let this user in", "usermod"),
        (f"echo '{ABSENT}' >&2; exit 1", "No Docker engine answers", "systemctl start docker"),
        ("echo 'panic' >&2; exit 2", "cannot be asked", "docker version"),
        ('[ "$1" = version ] && exit 0; exit 1', "no compose", "apt-get install docker-compose"),
    ],
)
def test_an_engine_that_cannot_be_used(tmp_path, monkeypatch, script, what, fix):
    fake(tmp_path, "docker", script)
    monkeypatch.setenv("PATH", f"{tmp_path}:/nowhere")
    monkeypatch.delenv("GOLDMAR_COMPOSE", raising=False)
    fake(tmp_path, "sh", "")
    with pytest.raises(ServerError, match=what) as raised:
        find_compose()
    assert fix in raised.value.fix


def test_no_docker_at_all(monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ServerError, match="command docker was not found"):
        find_compose()


@pytest.mark.parametrize(("plugin", "found"), [("0", ("docker", "compose")), ("1", ("docker-compose",))])
def test_the_plugin_is_preferred(tmp_path, monkeypatch, plugin, found):
    fake(tmp_path, "docker", f'[ "$1" = version ] && exit 0; echo 2.26.1; exit {plugin}')
    fake(tmp_path, "docker-compose", "echo 1.29.2")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("GOLDMAR_COMPOSE", raising=False)
    assert find_compose() == Compose(found, "2.26.1" if plugin == "0" else "1.29.2")
    monkeypatch.setenv("GOLDMAR_COMPOSE", "docker-compose")
    assert find_compose().name == "docker-compose"
