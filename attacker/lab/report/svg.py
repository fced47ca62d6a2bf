"""Matplotlib figures as SVG that lives inside an HTML page and takes the page's colours.

Figures are drawn in stand-in colours, one for each role, which become CSS variables here: the same
figure is right in light mode, in dark mode and in print.
"""

import io
import itertools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib
from markupsafe import Markup, escape
from matplotlib.figure import Figure

INK, MUTED, GRID, SURFACE = "#0b0b01", "#0b0b02", "#0b0b03", "#0b0b04"
SERIES = tuple(f"#0b0b{number:02x}" for number in range(0x10, 0x18))
"""Colours of campaigns; the first belongs to the baseline."""
WIDTH_IN = 8.6
"""Width of a figure that fills the page's column."""

_VARIABLES = {
    INK: "--ink",
    MUTED: "--muted",
    GRID: "--grid",
    SURFACE: "--surface",
    **{color: f"--series-{number}" for number, color in enumerate(SERIES)},
}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 9,
    "font.family": "DejaVu Sans",
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "lines.linewidth": 1.8,
    "lines.markersize": 6,
}
_PX_PER_POINT = 1.4
"""Scale of all figures on a wide screen, so that their text has one size."""
_ids = itertools.count()


@contextmanager
def drawing() -> Iterator[None]:
    """Draw inside this, so that every figure of the report has one style."""
    with matplotlib.rc_context({**_STYLE, "svg.hashsalt": "earshot"}):
        yield


def series(index: int) -> str:
    """Return the colour of the campaign at ``index``."""
    return SERIES[index % len(SERIES)]


def to_svg(figure: Figure, *, alt: str) -> Markup:
    """Return ``figure`` as an inline SVG element that ``alt`` describes to those who cannot see it.

    Ids are made unique in the process, text stays text, and nothing in it refers to the outside.
    """
    out = io.StringIO()
    empty: dict[str, Any] = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(out, format="svg", bbox_inches="tight", pad_inches=0.06, metadata=empty)
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)
    text = text.replace("xlink:href=", "href=")
    text = _rename_ids(text, f"f{next(_ids)}-")
    for color, variable in _VARIABLES.items():
        text = text.replace(color, f"var({variable})")
    text = re.sub(r"font: (?:(\S+) )?([\d.]+)px '[^\"]*?'(?=[;\"])", _font, text)
    return Markup(_open_tag(text, alt))  # noqa: S704 - matplotlib escapes the text that it draws


def _font(match: re.Match[str]) -> str:
    weight = f"font-weight: {match[1]}; " if match[1] else ""
    return f"{weight}font-size: {match[2]}px"


def _rename_ids(text: str, prefix: str) -> str:
    """Put ``prefix`` before every id that is referred to, and drop the others."""
    used = set(re.findall(r'"#([^"]+)"|url\(#([^)]+)\)', text))
    names = {name for pair in used for name in pair if name}

    def rename(match: re.Match[str]) -> str:
        return f' id="{prefix}{match[1]}"' if match[1] in names else ""

    text = re.sub(r'\sid="([^"]+)"', rename, text)
    text = re.sub(r'"#([^"]+)"', rf'"#{prefix}\1"', text)
    return re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}\1)", text)


def _open_tag(text: str, alt: str) -> str:
    view_box = re.search(r'viewBox="([^"]+)"', text)
    if view_box is None:
        raise ValueError("the figure has no viewBox. Use a matplotlib that writes one.")
    body = text[text.index(">", text.index("<svg")) + 1 :]
    width_px = round(float(view_box[1].split()[2]) * _PX_PER_POINT)
    return (
        f'<svg viewBox="{view_box[1]}" style="max-width: {width_px}px" role="img" '
        f'aria-label="{escape(alt)}">{body}'
    )
