"""Is the api ready? At least minWorkers READY of every model, and an answer to a drawing. Standard library only.

Runs inside the api container, where the management port is: as its health check, and for whoever wants to know why it
is not healthy yet. Prints one plain sentence, and a handler's traceback where one explains it. Ends with 0 when it is
ready, with 1 when it is not, and with 3 when waiting cannot help.

/ping would not do: it says Healthy while models are loading, and for minutes while a worker crashes again and again.

What it finds is left for the batch container in /run/goldmar: `token` (the inference token, and only that) once the api
is ready, and `state.json` with the sentence, the traceback, and whether waiting can help at all.
"""

import http.client
import json
import os
import re
import signal
import struct
import sys
import urllib.error
import urllib.request
import zlib
from pathlib import Path
from typing import NoReturn

MODELS = Path("/opt/goldmar/models")
SERVER = Path("/run/server")
SHARED = Path("/run/goldmar")
INFERENCE = "http://127.0.0.1:8080"
MANAGEMENT = "http://127.0.0.1:8081"
TIMEOUT_S = 8.0
MAX_ANSWER = 4 * 1024 * 1024  # bytes that are read: a handler may answer without end
HOPELESS = 3

TRACEBACK = "Traceback (most recent call last):"
IN_ARCHIVE = re.compile(r'File "[^"]*/models/[0-9a-f]{32}/')
DIED = re.compile(r"Retry worker: \d+ in \d+ seconds")


class NotReady(Exception):
    """Why. `hopeless`: a worker died while loading, and will die again."""

    def __init__(self, why: str, detail: str = "", *, hopeless: bool = False) -> None:
        super().__init__(why)
        self.why, self.detail, self.hopeless = why, detail, hopeless


def main() -> int:
    try:
        keys = read_keys()
        models = served()
        counts = [f"{model} {workers_ready(model, keys['management'])}" for model in models]
        for model in models:
            ask(model, keys["inference"])
    except NotReady as reason:
        why, detail = plain(reason.why), plain(reason.detail)
        tell(why, detail, ready=False, hopeless=reason.hopeless)
        print(why)
        if detail:
            print(detail)
        return HOPELESS if reason.hopeless else 1
    publish("token", keys["inference"])
    why = f"Ready: {', '.join(counts)} workers, and each model has answered a drawing."
    tell(why, "", ready=True, hopeless=False)
    print(why)
    return 0


def served() -> list[str]:
    return sorted(path.stem for path in MODELS.glob("*.mar"))


def read_keys() -> dict[str, str]:
    """TorchServe's tokens. Format: `TokenAuthorization.generateKeyFile` of TorchServe 0.12."""
    try:
        said = json.loads((SERVER / "key_file.json").read_bytes())
        return {name: said[name]["key"] for name in ("inference", "management")}
    except (OSError, ValueError, KeyError):
        raise NotReady("TorchServe has not written its tokens yet.") from None


def workers_ready(model: str, token: str) -> str:
    """`2 of 2`; raises NotReady where too few are."""
    try:
        status, body = request(f"{MANAGEMENT}/models/{model}", token)
    except OSError as error:
        raise NotReady(f"TorchServe does not answer yet ({reason(error)}).") from None
    if status != 200:
        raise NotReady(f"TorchServe does not serve {model}: it answers {status}.", last_words(), hopeless=status == 404)
    try:
        (said,) = json.loads(body)
        ready = sum(worker["status"] == "READY" for worker in said["workers"])
        wanted = max(1, int(said["minWorkers"]))
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        raise NotReady(f"TorchServe does not tell how many workers {model} has.", last_words()) from None
    if ready < wanted:
        if detail := died_of(model):
            raise NotReady(f"A worker of {model} died while it was loading the model.", detail, hopeless=True)
        raise NotReady(f"{model} has {ready} of {wanted} workers READY.")
    return f"{ready} of {wanted}"


def ask(model: str, token: str) -> None:
    """Whatever is below 500 comes from the handler: a model may well refuse a small white square."""
    try:
        status, body = request(f"{INFERENCE}/predictions/{model}", token, drawing())
    except OSError as error:
        raise NotReady(f"{model} has its workers READY and does not answer ({reason(error)}).", last_words()) from None
    if status >= 500:
        text = body.decode("utf-8", errors="replace").strip()[:200]
        raise NotReady(f"{model} has its workers READY and answers {status}: {text}", died_of(model))


def request(url: str, token: str, body: bytes | None = None) -> tuple[int, bytes]:
    asked = urllib.request.Request(url, body, {"Authorization": f"Bearer {token}", "Content-Type": "image/png"})
    # No proxy of the environment: everything here is this container's own loopback.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), NoRedirect)
    # The time-out of a socket starts anew with each byte: an answer that drips is ended by the clock.
    signal.signal(signal.SIGALRM, out_of_time)
    signal.setitimer(signal.ITIMER_REAL, TIMEOUT_S)
    try:
        with opener.open(asked, timeout=TIMEOUT_S) as answer:
            return answer.status, answer.read(MAX_ANSWER)
    except urllib.error.HTTPError as error:
        return error.code, error.read(MAX_ANSWER)
    except http.client.HTTPException as error:
        raise OSError(0, f"no HTTP: {type(error).__name__}") from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


class NoRedirect(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer: the token must not go where a handler says."""

    def redirect_request(self, *_: object) -> None:
        return None


def out_of_time(*_: object) -> NoReturn:
    raise TimeoutError


def plain(text: str) -> str:
    """Lines that neither a terminal nor a CI server obeys: control characters and a `::` in front become escapes."""
    lines = []
    for line in text.splitlines():
        line = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in line)
        line = line.replace("##", "#\\x23")
        lines.append("\\x3a" + line.lstrip()[1:] if line.lstrip().startswith("::") else line)
    return "\n".join(lines)


def reason(error: OSError) -> str:
    return str(getattr(error, "reason", None) or error.strerror or "timed out")


def drawing(side: int = 64) -> bytes:
    """A white square with a black line across it, as a PNG of eight-bit grey. Format: PNG specification, section 11."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = [b"\x00" + bytes([0 if row == side // 2 else 255]) * side for row in range(side)]
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"".join(rows))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + data


# --- what the log says ------------------------------------------------------------------------------------------------


def log() -> list[list[str]]:
    """Level, thread, logger and message of the lines of TorchServe's log; see log4j2.xml."""
    try:
        text = (SERVER / "server.log").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return [fields[1:] for line in text.splitlines() if len(fields := line.split("\t", 4)) == 5]


def died_of(model: str) -> str:
    """The traceback of a worker of this model that died, its last words without one; empty where none did."""
    mine = [fields for fields in log() if re.match(rf"W-\d+-{re.escape(model)}_", fields[1])]
    if not any(DIED.match(fields[3]) for fields in mine):
        return ""
    said = [fields[3] for fields in mine if fields[2] == "MODEL_LOG"]
    found: list[list[str]] = []
    inside = False
    for line in said:
        if line.startswith(TRACEBACK):
            found.append([])
            inside = True
        if inside:
            found[-1].append(line)
            inside = len(found[-1]) == 1 or line[:1].isspace()  # up to the exception itself, which is not indented
    if not found:
        return "\n".join(said[-20:]) or "It ended without a word: killed from outside, or out of memory."
    # TorchServe goes on to look for a handler of its own of that name; what failed first is in the archive's files.
    own = [block for block in found if any(IN_ARCHIVE.search(line) for line in block)]
    return "\n".join(own[-1] if own else found[0])


def last_words() -> str:
    return "\n".join(fields[3] for fields in log()[-5:])


# --- what the batch container may know --------------------------------------------------------------------------------


def tell(why: str, detail: str, *, ready: bool, hopeless: bool) -> None:
    if not ready:
        (SHARED / "token").unlink(missing_ok=True)
    state = {"ready": ready, "hopeless": hopeless, "why": why, "detail": detail, "models": served()}
    publish("state.json", json.dumps(state))


def publish(name: str, text: str) -> None:
    """For the group to read; whole or not at all, since two checks may run at once."""
    path = SHARED / f".{name}.{os.getpid()}"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o440)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        os.fchmod(descriptor, 0o440)
        file.write(text)
    path.replace(SHARED / name)


if __name__ == "__main__":
    sys.exit(main())
