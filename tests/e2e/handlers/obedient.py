"""Does what the drawing says, one word a line of code below; without torch, so that a worker starts in a second."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any


class Obedient:
    """Answers with the number of bytes, or misbehaves in the way it is asked to."""

    def initialize(self, context: Any) -> None:
        self.started = time.time()

    def handle(self, data: list[dict[str, Any]], context: Any) -> list[Any]:
        return [self._one(item.get("body") or item.get("data") or b"", context) for item in data]

    def _one(self, sent: bytes | str, context: Any) -> Any:
        body = sent.encode() if isinstance(sent, str) else bytes(sent)  # TorchServe decodes text/plain
        context.set_response_content_type(0, "application/json")
        word, _, rest = body[:500].decode("utf-8", "replace").strip().partition(" ")
        if word == "slow":
            seconds, _, begun = rest.partition(" ")
            if begun:
                Path(begun).touch()
            time.sleep(float(seconds))
        if word == "stubborn":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            subprocess.Popen(["sleep", "300"], start_new_session=True)
            os.chdir("/")
        if word == "die":
            os._exit(9)
        if word == "raise":
            raise ValueError(rest)
        if word == "text":
            context.set_response_content_type(0, "text/html")
            return "<html>this is not JSON</html>"
        if word == "refuse":
            context.set_response_status(code=400, phrase="Bad Request", idx=0)
            return json.dumps({"code": 400, "type": "BadDrawing", "message": rest})
        if word == "nan":
            return '{"bytes": NaN}'
        return json.dumps({"bytes": float(len(body))})
