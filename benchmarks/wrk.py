"""wrk, the HTTP benchmark in C, sending drawings: the leanest client there is to hold a model or a client against."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from goldmar.records import Drawing
from goldmar.transport.endpoint import Endpoint

__all__ = ["Load", "wrk"]

# Every request is formatted before the first is sent, so that Lua does next to nothing while wrk measures.
SCRIPT = """
local requests, count, at = {}, 0, 0
function init(args)
  for line in io.lines(args[1]) do
    local kind, path = line:match("^(%S+) (.*)$")
    local file = assert(io.open(path, "rb"))
    local headers = HEADERS
    headers["Content-Type"] = kind
    count = count + 1
    requests[count] = wrk.format("POST", nil, headers, file:read("*a"))
    file:close()
  end
end
function request()
  at = at % count + 1
  return requests[at]
end
function done(summary, latency, _)
  local e = summary.errors
  io.stderr:write(string.format('{"requests": %d, "microseconds": %d, "p50": %d, "p99": %d, "errors": %d}',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What wrk saw. Latencies in seconds."""

    rate: float
    p50_s: float
    p99_s: float


def wrk(endpoint: Endpoint, model: str, drawings: Sequence[Drawing], *, clients: int, seconds: float) -> Load:
    """Send the drawings in turn over `clients` connections. Raises RuntimeError where any answer was not a 2xx."""
    if shutil.which("wrk") is None:
        msg = "wrk is not installed: apt-get install wrk"
        raise RuntimeError(msg)
    headers = "{" + ", ".join(f"[{json.dumps(k)}]={json.dumps(v)}" for k, v in endpoint.headers.items()) + "}"
    with tempfile.TemporaryDirectory(prefix="goldmar-bench-") as folder:
        listing, script = Path(folder, "drawings"), Path(folder, "script.lua")
        listing.write_text("".join(f"{drawing.content_type} {drawing.path}\n" for drawing in drawings))
        script.touch(mode=0o600)  # it holds the token
        script.write_text(SCRIPT.replace("HEADERS", headers))
        url = f"{endpoint.url}/predictions/{model}"
        command = ["wrk", "-t1", f"-c{clients}", f"-d{max(1, round(seconds))}s", "--timeout", "60s", "-s", script, url]
        done = subprocess.run([*command, "--", listing], check=True, capture_output=True, text=True, env=os.environ)
    said = json.loads(done.stderr.strip().splitlines()[-1])
    if said["errors"]:
        msg = f"wrk saw {said['errors']} errors in {said['requests']} requests\n{done.stdout}"
        raise RuntimeError(msg)
    return Load(said["requests"] / said["microseconds"] * 1e6, said["p50"] / 1e6, said["p99"] / 1e6)
