"""Text that was written for docstrings, as Markdown that shows it as it stands."""

from __future__ import annotations

import re
from collections.abc import Sequence

CODE = re.compile(r"(`[^`]+`)")
SPECIAL = re.compile(r"([\\*_\[\]])")
ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;", "$": "&#36;"}  # tags, cells and formulas begin with them
ARXIV = re.compile(r"arXiv:(\d{4}\.\d{4,5})")


def plain(text: str) -> str:
    """Formulas such as |x - y|^2, <p, z> or a * b survive; `code` stays code; arXiv numbers become links."""
    parts = CODE.split(text)
    return "".join(part if k % 2 else _escaped(part) for k, part in enumerate(parts))


def _escaped(text: str) -> str:
    text = SPECIAL.sub(r"\\\1", "".join(ENTITIES.get(letter, letter) for letter in text))
    return ARXIV.sub(r"[arXiv:\1](https://arxiv.org/abs/\1)", text)


def cell(text: str) -> str:
    """For a table: one line, and no bar that would end the cell."""
    return " ".join(text.split()).replace("|", "\\|")


def table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]], right: tuple[int, ...] = ()) -> str:
    """`right`: the columns of numbers."""
    rule = ["--:" if k in right else "---" for k in range(len(head))]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, tuple(rule), *rows))
