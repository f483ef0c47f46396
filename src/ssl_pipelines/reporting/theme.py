"""How figures look: two color schemes, one style, colors that the color-blind can tell apart."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure as Canvas

DPI = 150
# Petroff 2021, arXiv:2107.02270, ten colors: chosen for color-vision deficiency.
CLASS_COLORS = ("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6", "#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd")


@dataclass(frozen=True, slots=True)
class Theme:
    """The first series is the trained model, everywhere; after Okabe & Ito 2008."""

    paper: str
    ink: str
    muted: str
    grid: str
    series: tuple[str, ...]


LIGHT = Theme("#ffffff", "#1c2330", "#5d6778", "#e3e7ed", ("#0072b2", "#e69f00", "#98a2b0", "#cc79a7"))
DARK = Theme("#161b22", "#e6edf3", "#9aa6b5", "#2c3440", ("#56b4e9", "#e69f00", "#8b96a5", "#cc79a7"))
Draw = Callable[[Canvas, Theme], None]


@dataclass(frozen=True, slots=True)
class Figure:
    """A picture of the page: PNG bytes for a light background, for a dark one where it differs, and what it shows in words."""

    name: str
    alt: str
    light: bytes
    dark: bytes | None = None
    caption: str = ""
    pixels: bool = False  # made of images: to be enlarged without smoothing

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels: the first fields of a PNG's header."""
        return int.from_bytes(self.light[16:20]), int.from_bytes(self.light[20:24])

    @property
    def wide(self) -> bool:
        return self.pixels and self.size[0] > 1.6 * self.size[1]

    @property
    def width(self) -> int:
        """Of a picture made of images, in CSS pixels: enlarged as far as a screen holds it."""
        width, height = self.size
        return min(1000, round(width * min((1000 if self.wide else 500) / width, 620 / height)))

    @property
    def light_uri(self) -> str:
        return uri(self.light)

    @property
    def dark_uri(self) -> str | None:
        return None if self.dark is None else uri(self.dark)

    def save(self, folder: Path) -> None:
        (folder / f"{self.name}.png").write_bytes(self.light)


def uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def chart(
    name: str, alt: str, draw: Draw, size: tuple[float, float] = (5.4, 3.4), caption: str = "", *, dark: bool = True
) -> Figure:
    """Draws once per color scheme.   size: inches; 5.4 wide is legible on a phone and fills half a desktop page."""
    return Figure(name, alt, _render(draw, size, LIGHT), _render(draw, size, DARK) if dark else None, caption)


def _render(draw: Draw, size: tuple[float, float], theme: Theme) -> bytes:
    with mpl.rc_context(_style(theme)), warnings.catch_warnings():
        canvas = Canvas(figsize=size, layout="constrained")
        draw(canvas, theme)
        file = io.BytesIO()
        warnings.filterwarnings(
            "ignore", message="Glyph .* missing from font"
        )  # a class name in another script: the page has it in text
        canvas.savefig(file, format="png", dpi=DPI, metadata={"Software": None})
        return file.getvalue()


def _style(theme: Theme) -> dict[Any, Any]:
    return {
        "figure.facecolor": theme.paper,
        "savefig.facecolor": theme.paper,
        "axes.facecolor": theme.paper,
        "axes.edgecolor": theme.grid,
        "axes.labelcolor": theme.muted,
        "axes.titlecolor": theme.ink,
        "axes.titlesize": 12.5,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "text.color": theme.ink,
        "text.parse_math": False,  # class names may hold a dollar sign
        "xtick.color": theme.muted,
        "ytick.color": theme.muted,
        "grid.color": theme.grid,
        "font.size": 11.5,
        "font.family": "DejaVu Sans",
        "legend.frameon": False,
        "legend.fontsize": 11,
        "lines.linewidth": 1.8,
        "lines.solid_capstyle": "round",
    }
