"""What a handler does the same way whatever its model is: load it, answer each request, refuse what it cannot read."""

import json
import logging
from pathlib import Path
from typing import Any

logger = logging.getLogger(__name__)


class BadRequest(ValueError):
    """The request cannot be answered; str() is a sentence for whoever sent it."""


class ItemHandler:
    """Subclass with `load` and `answer`; TorchServe calls `initialize` once and `handle` for each batch."""

    def load(self, folder: Path, model: dict[str, str]) -> None:
        """Read the model. folder: where the files of the archive lie; model: what the manifest says of them."""

    def answer(self, body: Any) -> dict[str, Any]:
        """The answer to one request: plain dicts, lists, strings and numbers. Raises BadRequest."""
        raise NotImplementedError

    # --- called by TorchServe

    def initialize(self, context) -> None:
        self.settings = context.model_yaml_config.get("handler") or {}
        self.load(Path(context.system_properties["model_dir"]), context.manifest["model"])

    def handle(self, data: list[dict], context) -> list[str]:
        """One entry a request. Raising would answer 503 to the whole batch, so each request gets its own status."""
        return [self._answer(index, item, context) for index, item in enumerate(data)]

    def _answer(self, index: int, item: dict, context) -> str:
        context.set_response_content_type(index, "application/json")
        try:
            # `item.get("data") or item.get("body")` would take an empty field for an absent one.
            return json.dumps(self.answer(item["data"] if "data" in item else item.get("body")), allow_nan=False)
        except BadRequest as refusal:
            code, error = 400, refusal
        except Exception as bug:
            logger.exception("request %d of the batch failed", index)
            code, error = 500, bug
        context.set_response_status(code=code, phrase=type(error).__name__, idx=index)
        return json.dumps({"code": code, "type": type(error).__name__, "message": str(error)})


# --- the body of a request: TorchServe hands over text and JSON decoded where the content type says so, else bytes


def text_of(body: Any) -> str:
    """The text that a request holds. Raises BadRequest."""
    if isinstance(body, bytes | bytearray):
        try:
            body = body.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise BadRequest(f"The text is not UTF-8: byte {error.start}.") from None
    if not isinstance(body, str) or not body.strip():
        raise BadRequest("The request holds no text: send it as the body, or as the form field 'data'.")
    return body


def object_of(body: Any) -> dict[str, Any]:
    """The JSON object that a request holds. Raises BadRequest."""
    if not isinstance(body, dict | list):
        try:
            body = json.loads(text_of(body))
        except (json.JSONDecodeError, RecursionError):
            raise BadRequest("The request is not JSON.") from None
    if not isinstance(body, dict):
        raise BadRequest("The request is no JSON object: send {...}.")
    return body
