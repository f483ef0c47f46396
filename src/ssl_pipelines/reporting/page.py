"""HTML from templates: everything escaped, everything inside the one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ssl_pipelines.artifacts import new_file


def write_page(path: Path, template: str, **context: Any) -> None:
    """Renders `templates/<template>` to `path`, whole or not at all. Strings of the context are text, never markup."""
    folder = Path(__file__).parent / "templates"
    # autoescape=True, not select_autoescape: that one goes by the suffix, and `.html.j2` is none it knows.
    environment = Environment(
        loader=FileSystemLoader(folder), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    html = environment.get_template(template).render(**context)
    with new_file(path) as partial:
        partial.write_text(html, encoding="utf-8", errors="replace")  # a file name may hold bytes that are no text
