#!/usr/bin/env python3
"""Print what pip has to be told besides a lock file, so that torch is the build for CPUs.

    ci/torch_index.py LOCK... [-- PIP OPTIONS]     pip install -r LOCK $(python3 ci/torch_index.py LOCK)

A lock file says `torch==2.13.0`, and that release comes in several builds. Most package indexes have the one for CUDA
under the plain number, with NVIDIA's libraries some 6 GB; the one for CPUs, 190 MB, is called 2.13.0+cpu. It is looked
for where pip is set up to look, and then in PyTorch's own index. Nothing else comes from there: pip is led to the page
of this one package, not to the index. The same for torchvision and torchaudio.

In the environment:
    GOLDMAR_TORCH_INDEX   an index with builds for CPUs, instead of https://download.pytorch.org/whl/cpu
    GOLDMAR_TORCH=cuda    take what pip takes by itself, CUDA and all

Exit codes: 0; 2 where only a build for CUDA is to be had; 3 where nothing is. Standard library and pip only.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

from pip._internal.exceptions import InstallationError
from pip._internal.network.session import PipSession
from pip._internal.req.req_file import parse_requirements
from pip._vendor.packaging.requirements import InvalidRequirement, Requirement
from pip._vendor.packaging.version import Version

PACKAGES = ("torch", "torchvision", "torchaudio")
INDEX = "https://download.pytorch.org/whl/cpu"
# NCCL is what xgboost brings, on CPUs too; tritonclient is something else.
CUDA = re.compile(r"(?!nvidia[-_]nccl)(nvidia|cuda)[-_]|(pytorch[-_])?triton([-_](rocm|xpu))?$", re.IGNORECASE)
QUICK_S = 30  # for a list of versions
PLAIN_S = 120  # for the packages that a release needs: without metadata beside the wheels pip fetches those themselves


def main(arguments: list[str]) -> int:
    if not arguments or arguments[0] in {"-h", "--help"}:
        print(__doc__)
        return 0 if arguments else 2
    said = os.environ.get("GOLDMAR_TORCH") or "cpu"
    if said not in {"cpu", "cuda"}:
        fail(2, f"GOLDMAR_TORCH is {said!r}.", "GOLDMAR_TORCH=cpu, or GOLDMAR_TORCH=cuda")
    if said == "cuda":
        return 0
    at = arguments.index("--") if "--" in arguments else len(arguments)
    locks, options = arguments[:at], arguments[at + 1 :]
    found: list[list[str]] = []
    for lock in locks:
        found += [words for pin, hashed in pins(Path(lock)) if (words := chosen(pin, hashed, options)) not in found]
    print(" ".join(word for words in found for word in words))
    return 0


def pins(lock: Path) -> list[tuple[Requirement, bool]]:
    """What `lock` pins of PACKAGES on this machine, each with whether its line names the hashes of files.

    Ends where the lock file pins packages for CUDA: it was resolved for another build.
    """
    try:
        lines = list(parse_requirements(str(lock), session=PipSession()))
    except (OSError, UnicodeDecodeError, InstallationError) as error:
        fail(2, f"{lock} cannot be read: {error}.", f"ls -l '{lock}'")
    found, cuda = [], []
    for line in lines:
        try:
            pin = Requirement(line.requirement)
        except InvalidRequirement:
            continue  # a file or a folder; for anything else pip has words
        if pin.marker is not None and not pin.marker.evaluate():
            continue
        if CUDA.match(pin.name):
            cuda.append(pin.name)
        elif pin.name.lower() in PACKAGES:
            found.append((pin, bool(line.options and line.options.get("hashes"))))
    if found and cuda:
        fail(
            2,
            f"{lock} pins {len(cuda)} packages for CUDA ({', '.join(cuda[:3])}, ...): it was made with another torch.",
            f"resolve it anew: uv pip compile --find-links {INDEX}/torch/ ...; GOLDMAR_TORCH=cuda takes it as it is",
        )
    return found


def chosen(pin: Requirement, hashed: bool, options: list[str]) -> list[str]:
    """The words for pip: where the build for CPUs is found, and which it is; none where pip needs none."""
    exact = [each.version for each in pin.specifier if each.operator in {"==", "==="}]
    if pin.url or len(exact) != 1 or "*" in exact[0]:
        return []  # a file of its own; or no lock file, and pip chooses
    wanted = Version(exact[0])
    if wanted.local not in {None, "cpu"}:
        return []  # a build that was chosen
    build = Version(f"{wanted.public}+cpu")
    name, index = pin.name.lower(), os.environ.get("GOLDMAR_TORCH_INDEX") or INDEX
    page = f"{index.rstrip('/')}/{name}/"
    for place in ([], ["--find-links", page]):
        if build in versions(name, [*options, *place, *(["--timeout", "10", "--retries", "1"] if place else [])]):
            where = f"from {shown(page)}" if place else "as pip is set up"
            print(f"{name} {build}: {where}", file=sys.stderr)
            # With hashes pip knows the file by itself, and would want a hash of this requirement as well.
            return [*place, *([] if hashed else [f"{name}=={build}"])]
    if wanted.local is None and not hashed:
        refuse_cuda(name, str(wanted), options, page)
    return []


def versions(name: str, options: list[str]) -> set[Version]:
    """Those that pip could install; none where nothing answers in time."""
    try:
        done = pip("index", "versions", name, *options, limit_s=QUICK_S)
    except subprocess.TimeoutExpired:
        return set()
    listed = re.search(r"^Available versions: (.+)$", done.stdout, re.MULTILINE)
    return {Version(each) for each in listed[1].split(", ")} if listed else set()


def refuse_cuda(name: str, version: str, options: list[str], page: str) -> None:
    """A plain release may be for CPUs: on macOS, or where somebody built it. What it needs tells."""
    release = f"{name}=={version}"
    fix = (
        f"GOLDMAR_TORCH_INDEX=URL, a copy of that index, or PIP_FIND_LINKS=FOLDER with {release}+cpu; "
        "GOLDMAR_TORCH=cuda takes what pip finds"
    )
    missing = f"The build of {release} for CPUs is neither where pip looks nor at {shown(page)}"
    try:
        done = pip(
            "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-", *options, release, limit_s=PLAIN_S
        )
    except subprocess.TimeoutExpired:
        fail(2, f"{missing}, and whether pip would take one for CUDA could not be told in {PLAIN_S} s.", fix)
    if done.returncode:
        fail(3, f"{missing}.", f"look at the network and at pip's settings (pip config list); or {fix}", done.stderr)
    needed = [each["metadata"]["name"] for each in json.loads(done.stdout)["install"]]
    if cuda := sorted(each for each in needed if CUDA.match(each)):
        many = f"{len(cuda)} packages for it ({', '.join(cuda[:3])}{', ...' if len(cuda) > 3 else ''})"
        fail(2, f"{missing}. What pip would take is for CUDA and brings {many}: some 6 GB.", fix)


def pip(*arguments: str, limit_s: float) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=limit_s, check=False)


def shown(url: str) -> str:
    return re.sub(r"://[^/@\s]*@", "://", url)


def fail(code: int, what: str, fix: str, detail: str = "") -> NoReturn:
    print(f"{detail}error: {what}\nfix: {fix}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
