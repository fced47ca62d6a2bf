"""The page as Markdown: its sentences and tables, without figures."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from attacker.lab.report.words import NBSP
from attacker.lab.study.page.blocks import Cell, Section, Table

if TYPE_CHECKING:
    from attacker.lab.study.page.build import Page

_MARKS = re.compile(r"([\\`*_|])")


def render_markdown(page: "Page") -> str:
    """Return the tables of ``page`` with what it recommends and how it was made."""
    parts = [f"# {_plain(page.title)}", f"**{_plain(page.headline)}**"]
    for item in page.advice:
        lines = [f"**{_plain(item.title)}: {_plain(item.verdict)}.**", *map(_plain, item.lines)]
        parts.append("\n".join(["- " + lines[0], *(f"  {line}" for line in lines[1:])]))
    for section in page.sections:
        parts += _section(section)
    parts += ["## To make this again", "```\n" + "\n".join(page.commands) + "\n```"]
    return "\n\n".join(parts).replace(NBSP, " ") + "\n"


def _section(section: Section) -> list[str]:
    parts = [f"## {_plain(section.title)}", *map(_plain, section.lead)]
    for table in section.tables:
        parts += [f"### {_plain(table.title)}"] if table.title else []
        parts.append(_table(table))
    return [*parts, *map(_plain, section.notes)]


def _table(table: Table) -> str:
    rules = ["---" if place < table.left else "---:" for place in range(len(table.heads))]
    lines = [_line([_plain(head) for head in table.heads]), _line(rules)]
    return "\n".join([*lines, *(_line([_cell(cell) for cell in row]) for row in table.rows)])


def _cell(cell: Cell) -> str:
    text = _plain(cell.text)
    text = f"**{text}**" if cell.strong else text
    return f"{text} ({_plain(cell.small)})" if cell.small else text


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _plain(text: str) -> str:
    """Return ``text`` so that Markdown shows it as it is, on one line and without HTML."""
    safe = text.replace("\n", " ").replace("&", "&amp;").replace("<", "&lt;")
    return _MARKS.sub(r"\\\1", safe)
