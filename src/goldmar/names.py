"""What a model may be called, in one place.

Standard library alone: the build of the api's image copies this beside compose/archives.py, and has no goldmar.
"""

import re

# Beside the folders of the models there may be files for people and tools. A name that such a file could have is no
# model's: a file in the place of a folder (a link that git wrote as text) is then never taken for a note.
NOTE = re.compile(
    r"(?i:(?:readme|license|notice|makefile|dockerfile|codeowners)(?:\..*)?"
    r"|.*\.(?:cfg|csv|html|in|ini|ipynb|json|lock|log|md|py|rst|sh|toml|txt|xml|ya?ml))",
    re.DOTALL,
)

# Addresses, file names, commands, and lists with blanks or commas between: hence so few letters.
_NAME = re.compile(rf"(?!(?:(?i:common|.*\.mar)|{NOTE.pattern})\Z)[A-Za-z0-9](?:[A-Za-z0-9._-]{{0,62}}[A-Za-z0-9_-])?")
NAME_FIX = (
    "Use letters, digits, '_', '-' and '.', at most 64, a letter or digit first and no '.' last; "
    "not 'common', and not the name of a file such as notes.md"
)


def is_model_name(name: str) -> bool:
    """Whether a model may be called so."""
    return _NAME.fullmatch(name) is not None


def no_name(name: object) -> str:
    """In the same words everywhere."""
    return f"{name!r} is no name for a model."
