"""What is in the images and what is not, what their containers may do, and the labels."""

import json
import re
from pathlib import Path

import pytest

from tests.compose.conftest import GOLDMAR, NEEDED, Stack, docker, run

IMAGES = ["goldmar-api:test", "goldmar-batch:test"]

# Paths in the image's file system that must not be there, and why.
FORBIDDEN = {
    "a compiler": r"(^|/)(gcc|g\+\+|cc|c\+\+|cpp|ld|as|make|cmake|clang|rustc|go|protoc)(-[\d.]+)?$",
    "headers": r"(^|/)usr/include/.*\.h$|/torch/include/",
    "pip": r"(^|/)(pip3?(\.\d+)?$|site-packages/pip/|ensurepip/)",
    "a cache": r"(^|/)(\.cache/|var/lib/apt/lists/.|var/cache/apt/.*\.deb|wheels?/.*\.whl$)",
    "test data": r"(^|/)(drawings/|expected\.csv|obtained\.csv)|WA-20\d{6}|/tests?/data/",
    "tests": r"(^|/)(tests|unit_tests)/[^/]+\.pyc?$",
    "a secret": r"(^|/)(key_file\.json|\.netrc|\.pypirc|pip\.conf|id_[rd]sa.*|\.git/|\.env|.*\.pem\.key|token)$",
    "the repository": r"(^|/)(ci/locks/|\.git/|handlers/(callouts|part_class|thickness|common)/)",
}


def listing(image: str) -> list[str]:
    """Every path of the image's file system, as its layers add up."""
    container = docker("create", image)
    try:
        done = run("sh", "-c", f"docker export {container} | tar -t")
        assert done.code == 0, done.err
        return done.out.splitlines()
    finally:
        docker("rm", container)


@pytest.fixture(scope="module", params=IMAGES)
def paths(request: pytest.FixtureRequest, built: Path) -> list[str]:
    found = listing(request.param)
    assert len(found) > 1000
    assert any("site-packages/" in path for path in found)
    return found


@pytest.mark.parametrize("what", FORBIDDEN)
def test_is_not_in_the_image(what: str, paths: list[str]) -> None:
    assert [path for path in paths if re.search(FORBIDDEN[what], path)] == []


def test_the_patterns_find_what_they_are_for() -> None:
    samples = {
        "a compiler": "usr/bin/gcc-12",
        "headers": "usr/include/stdio.h",
        "pip": "opt/venv/lib/python3.11/site-packages/pip/__init__.py",
        "a cache": "wheels/torch-2.13.0.whl",
        "test data": "opt/golden/thickness/expected.csv",
        "tests": "opt/goldmar/tests/test_x.py",
        "a secret": "run/server/key_file.json",
        "the repository": "build/ci/locks/api.txt",
    }
    assert set(samples) == set(FORBIDDEN)
    assert [what for what, path in samples.items() if not re.search(FORBIDDEN[what], path)] == []


@pytest.mark.parametrize("image", IMAGES)
def test_no_layer_holds_what_a_later_one_hides(image: str, built: Path) -> None:
    """Wheels, caches and archives that are not served stay in the stages that the image is not made from."""
    made_by = docker("history", "--no-trunc", "--format", "{{.CreatedBy}}", image)
    assert "/wheels" not in made_by
    assert not re.search(r"(?i)(token|password|secret|authorization)\s*=", made_by)
    large = [line for line in docker("history", "--format", "{{.Size}}", image).splitlines() if line.endswith("GB")]
    assert len(large) <= 1


@pytest.mark.parametrize("image", IMAGES)
def test_the_image_runs_as_a_user_of_its_own(image: str, built: Path) -> None:
    config = json.loads(docker("inspect", "--format", "{{json .Config}}", image))
    uid, gid = config["User"].split(":")
    assert int(uid) >= 10000
    assert int(gid) >= 10000
    assert not [line for line in config["Env"] if re.search(r"(?i)token|secret|password|_key", line)]


# --- labels -----------------------------------------------------------------------------------------------------------


def test_the_label_tells_the_digest_of_each_archive(built: Path) -> None:
    built_now = run(GOLDMAR, "archive", "--json", cwd=built)
    digests = {row["model"]: row["digest"] for row in json.loads(built_now.out)}
    label = docker("inspect", "--format", '{{index .Config.Labels "goldmar.archives"}}', IMAGES[0])
    assert dict(pair.split("=") for pair in label.split()) == digests


@pytest.mark.parametrize(
    ("archives", "models", "said"),
    [
        ("thickness=sha256:" + "0" * 64, "thickness", "thickness.mar is sha256:"),
        ("", "thickness", "the label would not tell the digest of thickness.mar"),
        ("gear=sha256:" + "0" * 64, "gear", "there is no model_store/gear.mar"),
    ],
)
def test_a_label_that_would_be_wrong_fails_the_build(built: Path, archives: str, models: str, said: str) -> None:
    settings = {"GOLDMAR_MODELS": models, "GOLDMAR_TAG": "test-wrong", "GOLDMAR_ARCHIVES": archives or "none"}
    done = Stack(built, NEEDED[0], settings=settings)("build", "api")
    assert done.code != 0
    assert said in done.said
    assert "fix: goldmar archive" in done.said


# --- what the containers may do ---------------------------------------------------------------------------------------


def test_the_api_has_no_more_than_it_needs(running: Stack) -> None:
    host = json.loads(docker("inspect", "--format", "{{json .HostConfig}}", running.container()))
    assert host["ReadonlyRootfs"] is True
    assert host["CapDrop"] == ["ALL"]
    assert host["CapAdd"] is None
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert host["Privileged"] is False
    assert host["Memory"] == host["MemorySwap"] == 3 * 2**30
    assert host["NanoCpus"] == 2_000_000_000
    assert host["PidsLimit"] == 512
    assert set(host["PortBindings"]) == {"8080/tcp"}
    assert [binding["HostIp"] for binding in host["PortBindings"]["8080/tcp"]] == ["127.0.0.1"]
    assert sorted(host["Tmpfs"]) == ["/run/server", "/tmp"]
    assert not [mount for mount in host.get("Binds") or [] if mount.startswith("/")]


def test_inside_the_api(running: Stack) -> None:
    status = running.exec("cat", "/proc/1/status").out
    assert re.search(r"CapEff:\s+0{16}$", status, re.MULTILINE)
    assert re.search(r"CapBnd:\s+0{16}$", status, re.MULTILINE)
    assert re.search(r"NoNewPrivs:\s+1$", status, re.MULTILINE)
    assert running.exec("id", "-u").out.strip() == "10001"
    for place in ("/", "/opt/goldmar/models", "/opt/venv", "/etc"):
        assert "Read-only" in running.exec("touch", f"{place}/x").err, place
    # What can be written cannot be executed.
    script = "printf '#!/bin/sh\\necho run' > /tmp/x && chmod +x /tmp/x && /tmp/x"
    assert "Permission denied" in running.exec("sh", "-c", script).err


def test_the_batch_is_given_the_inference_token_and_no_more(running: Stack) -> None:
    shared = running.exec("stat", "-c", "%n %a %u:%g", "/run/goldmar", "/run/goldmar/token", "/run/server").out
    assert shared.splitlines() == [
        "/run/goldmar 750 10001:10001",
        "/run/goldmar/token 440 10001:10001",
        "/run/server 700 10001:10001",
    ]
    keys = json.loads(running.exec("cat", "/run/server/key_file.json").out)
    assert running.token() == keys["inference"]["key"]
    kept = running.exec("sh", "-c", "cat /run/goldmar/*").out
    assert keys["management"]["key"] not in kept
    assert keys["API"]["key"] not in kept
    mounted = running.exec("sh", "-c", "grep /run/goldmar /proc/mounts").out
    assert mounted.startswith("tmpfs ")
    assert keys["management"]["key"] not in running.do("logs", "api").said
    assert keys["inference"]["key"] not in running.do("logs", "api").said


PROBE = """
import socket, sys
for host, port in (("api", 8080), ("api", 8081), ("api", 8082), ("api", 7070), ("api", 7071), ("1.1.1.1", 53)):
    try:
        socket.create_connection((host, port), timeout=2).close()
        print(host, port, "open")
    except OSError as error:
        print(host, port, "closed")
"""


def test_from_the_batch_only_the_inference_port_can_be_reached(running: Stack) -> None:
    done = running("run", "--rm", "-T", "--entrypoint", "python3", "batch", "-c", PROBE)
    assert done.out.splitlines() == [
        "api 8080 open",
        "api 8081 closed",
        "api 8082 closed",
        "api 7070 closed",
        "api 7071 closed",
        "1.1.1.1 53 closed",
    ], done.said
