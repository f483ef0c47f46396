"""The one exception for what the user can mend."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Something the user gave or has is not usable. The message is one line: what, what was found, what is allowed."""

    def __init__(self, message: str):
        super().__init__(" ".join(message.split()))


def unknown(key: str, value: object, allowed: Iterable[str]) -> InputError:
    """`method='simsaim' is unknown; did you mean 'simsiam'? Allowed: byol, ...`"""
    names = sorted(allowed)
    near = nearest(str(value), names)
    hint = f"; did you mean {near!r}?" if near else "."
    return InputError(f"{key}={value!r} is unknown{hint} Allowed: {', '.join(names)}")


def nearest(given: str, names: Iterable[str]) -> str | None:
    """The name most like `given`, case, spaces and punctuation aside; None where none is like it."""
    plain = {_letters(name): name for name in sorted(names, reverse=True)}
    near = difflib.get_close_matches(_letters(given), plain, n=1)
    return plain[near[0]] if near else None


def _letters(text: str) -> str:
    """`SimCLR v2` -> `simclrv2`; a text without letters and digits stays."""
    return "".join(character for character in text.casefold() if character.isalnum()) or text
