"""Chooses its status as the drawing says, by each of the ways that TorchServe has."""

import json
from typing import Any

from ts.utils.util import PredictionException


class Choosy:
    def initialize(self, context: Any) -> None: ...

    def handle(self, data: list[dict[str, Any]], context: Any) -> Any:
        body = bytes(data[0].get("body") or b"").decode("utf-8", "replace")
        way, _, code = body[:50].partition(" ")
        context.set_response_content_type(0, "application/json")
        if way == "status":
            context.set_response_status(code=int(code), phrase="Chosen", idx=0)
            return [json.dumps({"code": int(code), "type": "Chosen", "message": "chosen by the handler"})]
        if way == "bare":
            context.set_response_status(code=int(code), phrase="Chosen", idx=0)
            return ["chosen by the handler"]
        if way == "exception":
            raise PredictionException("chosen by the handler", int(code))
        if way == "memory":
            raise MemoryError
        if way == "raise":
            raise ValueError
        if way == "short":
            return []
        if way == "none":
            return "no list"
        return [json.dumps({"bytes": len(data[0].get("body") or b"")})]
