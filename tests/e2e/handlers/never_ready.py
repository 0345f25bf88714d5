"""Waits in initialize for something that does not come, longer than any test."""

import time


class NeverReady:
    """Never ready."""

    def initialize(self, context: object) -> None:
        time.sleep(600)

    def handle(self, data: list, context: object) -> list:
        return data
