"""Ends its process without a word, as the out-of-memory killer does."""

import os


class ExitAtLoad:
    """Never made."""

    def initialize(self, context: object) -> None:
        print("reading weights", flush=True)
        os._exit(7)

    def handle(self, data: list, context: object) -> list:
        return data
