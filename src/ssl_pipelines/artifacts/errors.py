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
    near = difflib.get_close_matches(str(value), names, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return InputError(f"{key}={value!r} is unknown{hint} Allowed: {', '.join(names)}")
