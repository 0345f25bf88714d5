"""Runs the harness in the batch container: waits until the api is ready, asks it, ends with goldmar's exit code.

The goldens are mounted read-only; what `check` obtains is written beside a copy of them in memory, and copied to the
reports at the end.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from goldmar.text import clean_lines

GOLDEN = Path("/golden")
WORK = Path("/work")
REPORTS = Path("/reports")
SHARED = Path("/run/goldmar")
URL = "http://api:8080"
MAX_STATE = 1024 * 1024  # bytes of what the api says of itself
GONE_S = 10.0  # without an answer after one was there: the api has ended

DIFFERENT, USAGE, SERVER, BUG, INTERRUPTED = 1, 2, 3, 70, 130  # goldmar's exit codes


def main() -> int:
    if not os.access(REPORTS, os.W_OK):
        return fail(
            f"The reports folder cannot be written by user {os.getuid()}, as whom this runs.",
            "mkdir -p -m 777 reports, or name another folder in GOLDMAR_REPORTS",
            USAGE,
        )
    try:
        # Links as links: one that leads out of the goldens must not lead to this container's own files.
        shutil.copytree(GOLDEN, WORK / "golden", symlinks=True, ignore=left_out)
    except (OSError, shutil.Error) as error:
        what = f"The goldens cannot be read by user {os.getuid()}, as whom this runs: {error}"
        return fail(what, "chmod -R a+rX golden; for large ones GOLDMAR_BATCH_WORK=2g", USAGE)
    if not any((WORK / "golden").iterdir()):
        return fail("There are no goldens in the folder golden/.", "goldmar record, then goldmar approve", USAGE)
    if code := wait(float(os.environ.get("GOLDMAR_STARTUP_TIMEOUT") or 120)):
        return code
    (REPORTS / "report.json").unlink(missing_ok=True)
    lay_out(read_state().get("models", []))
    try:
        done = subprocess.run(command(), cwd=WORK, check=False)
    finally:
        for path in WORK.glob("golden/*/obtained.*"):
            put(path, REPORTS / "golden" / path.parent.name / path.name)
    if done.returncode == DIFFERENT and not (REPORTS / "report.json").exists():
        return BUG  # an interpreter that could not even start ends with 1 as well, and has found no difference
    return done.returncode if done.returncode >= 0 else SERVER


def put(source: Path, target: Path) -> None:
    """By renaming: a link that lies there is replaced, not written through; nothing is written below one."""
    if link := next((place for place in (target.parent, target.parent.parent) if place.is_symlink()), None):
        print(f"{link} is a link: {target.name} is not written through it", file=sys.stderr)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    fresh = target.with_name(f".{target.name}.tmp")
    fresh.unlink(missing_ok=True)
    shutil.copyfile(source, fresh)
    fresh.replace(target)


def left_out(folder: str, names: list[str]) -> list[str]:
    """What the last run obtained, in the folder of a model; a model or a drawing may be called so as well."""
    return [name for name in names if name.startswith("obtained.")] if Path(folder).parent == GOLDEN else []


def lay_out(served: list[str]) -> None:
    """What `goldmar check` looks for in a project: that a model is served which has no golden, on purpose or not."""
    (WORK / "model_store").mkdir(exist_ok=True)
    for model in served:
        if not os.path.lexists(WORK / "golden" / model):  # an archive that is empty could not be read
            (WORK / "model_store" / f"{model}.mar").touch()
    said = os.environ.get("GOLDMAR_NO_GOLDEN", "")
    if said.strip() and not os.environ.get("GOLDMAR_MODELS", "").split():
        pairs = [entry.partition("=") for entry in said.split(";") if entry.strip()]
        lines = [f"{json.dumps(model.strip())} = {json.dumps(reason.strip())}\n" for model, _, reason in pairs]
        (WORK / "pyproject.toml").write_text(f"[tool.goldmar.no_golden]\n{''.join(lines)}", encoding="utf-8")


def command() -> list[str]:
    options = ["--url", URL, "--token-file", str(SHARED / "token"), "--reports", str(REPORTS)]
    return [sys.executable, "-m", "goldmar", "check", *os.environ.get("GOLDMAR_MODELS", "").split(), *options]


def wait(seconds: float) -> int:
    """0 once the api is ready; goldmar's exit code for a server that is not, with the reason printed."""
    until = time.monotonic() + seconds
    answered: float | None = None
    told = ""
    while True:
        state = read_state()
        if state["ready"] and (SHARED / "token").exists():
            return 0
        if state["hopeless"]:
            fix = "mend the handler, then: goldmar archive, and build the image again"
            return fail(state["why"], fix, SERVER, state["detail"])
        if state["why"] != told:
            told = state["why"]
            print(told, file=sys.stderr)
        now = time.monotonic()
        if answers():
            answered = now
        elif answered is not None and now - answered > GONE_S:
            return fail("The api has ended.", "docker compose logs api", SERVER, state["detail"])
        if now > until:
            why = f"The api was not ready within {seconds:g} s. {told}"
            fix = "docker compose logs api; for large models GOLDMAR_STARTUP_TIMEOUT=300"
            return fail(why, fix, SERVER, state["detail"])
        time.sleep(0.5)


def read_state() -> dict[str, Any]:
    """What the api says of itself, as text that may be printed: its handlers may write there whatever they like."""
    state = {"ready": False, "hopeless": False, "why": "Waiting for the api to start.", "detail": ""}
    try:
        with (SHARED / "state.json").open("rb") as file:
            said = json.loads(file.read(MAX_STATE))
        for key, value in state.items():
            if type(said.get(key)) is type(value):
                state[key] = clean_lines(said[key]) if isinstance(value, str) else said[key]
    except (OSError, ValueError, AttributeError, RecursionError):
        pass
    return state


def answers() -> bool:
    """Whether anything answers, by its first line; what it says is of no interest."""
    try:
        with socket.create_connection(("api", 8080), timeout=2) as connection:
            connection.sendall(b"GET /ping HTTP/1.0\r\nHost: api\r\n\r\n")
            return bool(connection.recv(1))
    except OSError:
        return False


def fail(what: str, fix: str, code: int, detail: str = "") -> int:
    print("\n".join(filter(None, [f"error: {what}", detail, f"fix: {fix}"])), file=sys.stderr)
    return code


if __name__ == "__main__":
    try:
        code = main()
    except KeyboardInterrupt:
        code = INTERRUPTED
    except Exception:
        # Left alone, Python would end with 1, which says that predictions differ.
        traceback.print_exc()
        code = BUG
    sys.exit(code)
