"""Run by mkdocs-gen-files while the site is built: writes the pages that are made from code, and fills the marked places of the others.

A place is a line `<!-- made: NAME -->` of a page below docs/; NAME is a key of PLACES. Nothing is written into the working tree."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import mkdocs_gen_files

from docs_build import reference, stages
from docs_build.blocks import blocks
from docs_build.families import INTRODUCTIONS
from docs_build.maps import map_sizes
from docs_build.markup import cell, plain, table
from docs_build.methods import FAMILIES, of_family, paper, rows, section, words
from ssl_pipelines.methods.registry import TABLE

DOCS = Path(__file__).resolve().parents[1] / "docs"
PLACE = re.compile(r"^<!-- made: (\w+) -->$", re.MULTILINE)


def overview() -> str:
    """Every method in one table, family by family."""
    parts = []
    for family, title in FAMILIES.items():
        told = [
            (
                f"[{name}]({family}.md#{name})",
                cell(plain(words(name).idea)),
                cell(paper(name)),
                cell(plain(TABLE[name].needs)),
                _gain(name),
            )
            for name in of_family(family)
        ]
        parts.append(f"## [{title}]({family}.md)\n\n" + table(("method", "idea", "paper", "needs", "gain"), told, right=(4,)))
    return "\n\n".join(parts)


def _gain(name: str) -> str:
    known = [row for row in rows(name) if row["gain"] is not None]
    return f"{100 * known[0]['gain']:+.1f}" if known else ""


def family_page(family: str) -> str:
    told, names = INTRODUCTIONS[family], of_family(family)
    head = f"# {FAMILIES[family]}\n\n{told.told}\n\n{told.drawing}\n\n"
    return head + "\n".join(section(name) for name in names)


PLACES: dict[str, Callable[[], str]] = {
    "stages_picture": stages.picture,
    "all_stages_picture": lambda: stages.picture(on_request=True),
    "stages_table": stages.stages_table,
    "tools_table": stages.tools_table,
    "methods_overview": overview,
    "layers": lambda: f"`{' > '.join(reference.LEVELS)}`",
    "map_sizes": map_sizes,
    "number_of_methods": lambda: f"{len(TABLE)} methods.",
    "blocks": blocks,
}


def filled(text: str) -> str:
    """Raises KeyError for a place that nothing fills."""
    return PLACE.sub(lambda found: PLACES[found.group(1)](), text)


def write_all() -> None:
    pages = {f"methods/{family}.md": family_page(family) for family in FAMILIES}
    pages["reference/index.md"], pages["reference/SUMMARY.md"] = reference.index_page(), reference.navigation()
    for layer in reference.LAYERS:
        pages[f"reference/{layer}/index.md"] = reference.layer_page(layer)
        pages |= {module.page: module.body for module in reference.modules(layer)}
    for path in DOCS.rglob("*.md"):
        text = path.read_text(encoding="utf-8")
        if PLACE.search(text):
            pages[path.relative_to(DOCS).as_posix()] = filled(text)
    for name, text in pages.items():
        with mkdocs_gen_files.open(name, "w", encoding="utf-8") as file:
            file.write(text)


if __name__ == "<run_path>":  # how mkdocs-gen-files runs a script
    write_all()
