"""Fails in initialize, in a file of its own, as a state_dict that does not fit would."""

import broken_weights_helper


class BrokenWeights:
    """Never ready."""

    def initialize(self, context: object) -> None:
        broken_weights_helper.load()

    def handle(self, data: list, context: object) -> list:
        return data
