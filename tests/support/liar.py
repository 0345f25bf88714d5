"""In the place of TorchServe's worker: ready at once, and then as much harm as LIAR in the environment says.

Run as goldmar runs a worker: with the number of a socket that is open.
"""

import itertools
import os
import socket
import struct
import sys
import time

PIECE = b"x" * 2**20


def number(value: int) -> bytes:
    return struct.pack("!i", value)


def field(content: bytes) -> bytes:
    return number(len(content)) + content


def item(body: bytes, headers: bytes = number(0)) -> bytes:
    """The head of a frame, and an answer in it."""
    return number(200) + field(b"") + field(b"id") + field(b"") + number(200) + field(b"") + headers + body


NEXT = number(1) + field(b"ts_stream_next") + field(b"true")
END = number(-1)
GOOD = item(field(b"{}")) + END


def main() -> None:
    what = os.environ["LIAR"]
    parent = socket.socket(fileno=int(sys.argv[1]))
    parent.recv(2**16)
    if what == "never ready":
        for _ in itertools.count():
            os.write(1, b"still loading\n" * 1000)
    parent.sendall(number(200) + field(b"") + END)
    parent.recv(2**16)
    if what == "lingers":
        time.sleep(60)
    if what == "2 GB":
        parent.sendall(item(number(2**31 - 1)))
    if what in {"2 GB", "an id of 2 GB"}:
        parent.sendall(number(200) + field(b"") + number(2**31 - 1))
        for _ in itertools.count():
            parent.sendall(PIECE)
    if what == "headers":
        parent.sendall(item(b"", number(2**31 - 1)))
        for _ in itertools.count():
            parent.sendall(bytes(2**16))
    if what == "items":
        parent.sendall(number(200) + field(b""))
        for _ in itertools.count():
            parent.sendall((field(b"id") + field(b"") + number(200) + field(b"") + number(0) + field(b"")) * 1000)
    if what == "pieces":
        for _ in itertools.count():
            parent.sendall(item(field(PIECE), NEXT) + END)
    if what == "empty pieces":
        for _ in itertools.count():
            parent.sendall((item(field(b""), NEXT) + END) * 100)
    if what == "lines":
        for line in range(200_000):
            os.write(1, f"line {line} {'x' * 100}\n".encode())
    if what == "a line":
        for _ in range(200):
            os.write(1, PIECE)
    parent.sendall(GOOD)
    parent.recv(1)


if __name__ == "__main__":
    main()
