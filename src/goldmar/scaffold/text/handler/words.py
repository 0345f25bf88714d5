"""From a text to what the model knows it by; needs no TorchServe to be tested."""

import re
import unicodedata


def words(text: str) -> list[str]:
    """The words of a text, in order, without their case. The same letter in two codings is the same letter."""
    return re.findall(r"\w+", unicodedata.normalize("NFKC", text).casefold())
