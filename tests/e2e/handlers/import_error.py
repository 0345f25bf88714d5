"""Imports what nobody has installed."""

import no_such_package_at_all


class ImportErrorHandler:
    """Never made."""

    def handle(self, data: list, context: object) -> list:
        return no_such_package_at_all.answer(data)
