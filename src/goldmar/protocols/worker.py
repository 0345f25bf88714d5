"""The frames between TorchServe's frontend and its worker, as the frontend writes and reads them.

Format: `ts/protocol/otf_message_handler.py` (the worker's side) and ModelRequestEncoder, BatchAggregator, RestJob and
NettyUtils of TorchServe 0.12 (the frontend's side, which turns a frame into an HTTP answer). All integers are signed
32 bits, big-endian; a field is its length and its bytes; -1 ends a list.
"""

import json
import struct
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from goldmar.protocols.http import content_of
from goldmar.protocols.torchserve import TorchServe
from goldmar.records import Answer, Request
from goldmar.seam import Message

__all__ = [
    "TOO_LARGE",
    "BadFrame",
    "Frame",
    "Item",
    "WorkerSocket",
    "answer",
    "load_request",
    "predict_request",
    "read_frame",
]

END_OF_LIST = -1
NO_GPU = -1
STREAM_NEXT = "ts_stream_next"

Read = Callable[[int], bytes]
"""Returns exactly so many bytes, or raises."""


TOO_LARGE = Answer(413, "", b"")
"""What the frontend says of a body over max_request_size, which its worker never sees."""


class WorkerSocket(TorchServe):
    """A frame in place of an HTTP body; what an answer means is the same. `most` is TorchServe's max_request_size."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._most = most

    def message(self, request: Request) -> Message:
        """A batch of one; without a body where TorchServe would answer TOO_LARGE by itself. Raises GoldenError."""
        drawing = request.drawing
        content = content_of(drawing)
        if len(content) > self._most:
            return Message("")
        name = uuid.uuid4().hex
        return Message("", predict_request(name, drawing.content_type, content, request.headers, field=drawing.field))


class BadFrame(Exception):
    """The worker wrote something that is no frame."""


@dataclass(frozen=True, slots=True)
class Item:
    """The answer to one request of a batch."""

    request_id: str
    content_type: str
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Frame:
    """What the worker said: a code and message for the whole batch, and an item for each request."""

    code: int
    message: str
    items: tuple[Item, ...]

    @property
    def more_follows(self) -> bool:
        """Whether this is a piece of a streamed answer with another behind it."""
        return any(item.headers.get(STREAM_NEXT) == "true" for item in self.items)


def load_request(*, model: str, model_dir: str, handler: str, batch_size: int) -> bytes:
    """The command that makes a worker load its model, on the CPU."""
    return b"".join(
        [
            b"L",
            _field(model),
            _field(model_dir),
            _integer(max(batch_size, 1)),
            _field(handler),
            _integer(NO_GPU),
            _field(""),  # no envelope
            struct.pack("!?", True),  # limit_max_image_pixels, on by default
        ]
    )


def predict_request(
    request_id: str, content_type: str, body: bytes, headers: Mapping[str, str] | None = None, *, field: str = ""
) -> bytes:
    """A batch of one, as a raw HTTP body arrives: under the name `body`, its MIME type without parameters.

    With `field` as a form arrives: under the name of its field.
    """
    sent = "multipart/form-data" if field else content_type
    headers = {**(headers or {}), "Content-Type": sent, "Content-Length": str(len(body))}
    return b"".join(
        [
            b"I",
            _field(request_id),
            *(_field(text) for header in headers.items() for text in header),
            _integer(END_OF_LIST),
            _field(field or "body"),
            _field(content_type.split(";", 1)[0].strip()),
            _field(body),
            _integer(END_OF_LIST),
            _integer(END_OF_LIST),
        ]
    )


def read_frame(read: Read) -> Frame:
    """Read one answer of the worker. Raises BadFrame, and whatever `read` raises."""
    code = _read_integer(read)
    message = _read_text(read)
    items = []
    while (length := _read_integer(read)) != END_OF_LIST:
        request_id = _text(read(_checked(length)))
        content_type = _read_text(read)
        status = _read_integer(read)
        _read_text(read)  # the reason phrase
        count = _checked(_read_integer(read))
        headers = {}
        for _ in range(count):
            name = _read_text(read)
            headers[name] = _read_text(read)
        items.append(Item(request_id, content_type, status, headers, read(_checked(_read_integer(read)))))
    return Frame(code, message, tuple(items))


def answer(frames: Iterable[Frame]) -> Answer:
    """The HTTP answer that the frontend makes of the frames to a batch of one; several are a streamed answer."""
    *earlier, last = frames
    if last.code != 200:
        # RestJob.sendError keeps 413 for bodies that the frontend itself turns down.
        code = 507 if last.code == 413 else last.code
        error = {"code": code, "type": "InternalServerException", "message": last.message}
        return Answer(code, "application/json", json.dumps(error, indent=2, ensure_ascii=False).encode() + b"\n")
    if len(last.items) != 1:
        raise BadFrame(f"{len(last.items)} answers to one request")
    first = (earlier[0] if earlier else last).items[0]
    content_type = first.headers.get("content-type", first.content_type)
    return Answer(first.status, content_type, b"".join(frame.items[0].body for frame in (*earlier, last)))


def _integer(value: int) -> bytes:
    return struct.pack("!i", value)


def _field(value: str | bytes) -> bytes:
    content = value.encode() if isinstance(value, str) else value
    return _integer(len(content)) + content


def _read_integer(read: Read) -> int:
    (value,) = struct.unpack("!i", read(4))
    return int(value)


def _checked(length: int) -> int:
    if length < 0:
        raise BadFrame(f"a length of {length}")
    return length


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise BadFrame(f"{content[:40]!r} where text belongs") from error


def _read_text(read: Read) -> str:
    return _text(read(_checked(_read_integer(read))))
