"""Puts the chosen archives into the api image while it is being built; standard library only.

    archives.py STORE TARGET    GOLDMAR_MODELS and GOLDMAR_ARCHIVES in the environment

The build ends here where an archive is not the one that the label will speak of, or where TorchServe could find another
model in it than the digest is of. What is in an archive is read by goldmar's own zips.py, and what a model may be
called is said by its names.py; the build copies both beside this, and goldmar itself is not installed.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

import names
import zips


def main() -> None:
    store, target = Path(sys.argv[1]), Path(sys.argv[2])
    there = {path.stem: path for path in sorted(store.glob("*.mar")) if not path.name.startswith(".")}
    if not there:
        fail("model_store/ holds no archive", "goldmar archive")
    models = os.environ.get("GOLDMAR_MODELS", "").split() or list(there)
    for model in models:
        if not names.is_model_name(model):
            fail(names.no_name(model).rstrip("."), f"rename it. {names.NAME_FIX}")
        if model not in there:
            fail(f"GOLDMAR_MODELS names {model}, and there is no model_store/{model}.mar", f"goldmar archive {model}")
    said = dict(pair.split("=", 1) for pair in os.environ.get("GOLDMAR_ARCHIVES", "").split() if "=" in pair)
    for model in sorted({*models, *said}):
        check(model, there.get(model), said.get(model))

    shutil.copytree(
        Path(__file__).parent,
        target,
        ignore=shutil.ignore_patterns("archives.py", "names.py", "zips.py", "__pycache__"),
    )
    (target / "models").mkdir()
    for model in models:
        shutil.copyfile(there[model], target / "models" / there[model].name)
    with (target / "config.properties").open("a", encoding="ascii") as file:
        file.write("load_models=" + ",".join(f"{model}={model}.mar" for model in models) + "\n")
    subprocess.run(["chmod", "-R", "u=rwX,go=rX", str(target)], check=True)
    print("archives: " + " ".join(models))


def check(model: str, path: Path | None, said: str | None) -> None:
    if said is None:
        fail(f"the label would not tell the digest of {model}.mar", f"goldmar archive {model}")
    if path is None:
        fail(f"the label would tell the digest of {model}.mar, which is not in model_store/", "goldmar archive")
    if (found := digest(path)) != said:
        fail(f"{model}.mar is {found}, but the label would say {said}", f"goldmar archive {model}")


def digest(mar: Path) -> str:
    """As goldmar.mar.digest."""
    try:
        with mar.open("rb") as file:
            found = zips.members(file)
            return zips.content_digest((member.name, zips.sha256_of(file, member)) for member in found)
    except (zips.Broken, zips.Ambiguous) as error:
        fail(f"{mar.name} is not served: {error}", f"ask where it comes from, or goldmar archive {mar.stem}")


def fail(what: str, fix: str) -> NoReturn:
    print(f"error: {what}.\nfix: {fix}", file=sys.stderr)
    sys.exit(2)


if __name__ == "__main__":
    main()
