"""Docstrings are written to be read in the code, formulas and shapes as plain text; here they become Markdown that shows them so."""

from __future__ import annotations

from typing import Any

import griffe

from docs_build.markup import plain


class AsWritten(griffe.Extension):
    """Named in mkdocs.yml. Constants and fields without words of their own are left out: the pages of parameters and methods have them."""

    def on_instance(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            obj.docstring.value = plain(obj.docstring.value)

    def on_members(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        for name, member in list(obj.members.items()):
            if not member.is_alias and member.is_attribute and member.docstring is None:
                obj.del_member(name)
