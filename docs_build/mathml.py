"""LaTeX in pages becomes MathML while the site is built: no script and no font is loaded by the reader.

Blocks stand between ```math fences (see `custom_fences` in mkdocs.yml), and inline formulas between dollars: $z_i$."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree as ET

from latex2mathml.converter import convert
from markdown import Markdown
from markdown.extensions import Extension
from markdown.inlinepatterns import InlineProcessor

INLINE = r"(?<![\\$\w])\$(?=\S)([^$\n]+?)(?<=\S)\$(?![\w$])"
BELOW_CODE = 185  # of backticks is 190: what stands in them is code
NAMED = re.compile(r"(<mi>(?:log|exp|cos|tanh)</mi>)(?!<mo stretchy=\"false\">&#x00028;)")  # functions that no bracket follows
LEFT_OVER = re.compile(r"\\[A-Za-z]+")  # what the converter does not know it writes out as it stands,
DROPPED = re.compile(r"\\math(?!cal\b|bb\b|bf\b|rm\b)[A-Za-z]*")  # but for such, which it drops


def mathml(latex: str, *, block: bool = False) -> str:
    """A <math> element. Raises ValueError where a command of it is unknown."""
    markup = NAMED.sub(r'\1<mspace width="0.17em" />', convert(" ".join(latex.split()), display="block" if block else "inline"))
    if left := [*LEFT_OVER.findall(markup), *DROPPED.findall(latex)]:
        raise ValueError(f"{latex!r}: {', '.join(left)} is unknown here")
    return markup


def fence(source: str, language: str, css_class: str, options: dict[str, Any], md: Markdown, **kwargs: Any) -> str:
    """For pymdownx.superfences."""
    return f'<div class="equation">{mathml(source, block=True)}</div>'


class _Dollars(InlineProcessor):
    def handleMatch(self, m: re.Match[str], data: str) -> tuple[ET.Element | str, int, int]:
        return self.md.htmlStash.store(mathml(m.group(1))), m.start(0), m.end(0)


class MathML(Extension):
    def extendMarkdown(self, md: Markdown) -> None:
        md.inlinePatterns.register(_Dollars(INLINE, md), "mathml", BELOW_CODE)


def makeExtension(**kwargs: Any) -> MathML:  # the name that Markdown asks for
    return MathML(**kwargs)
