"""Puts the page together: one HTML file that needs nothing else, and Markdown for a document."""

from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from attacker.lab.report import builder
from attacker.lab.report.builder import templates
from attacker.lab.report.card import hide_keys
from attacker.lab.study.page import closing, sections, stolen, watch, words
from attacker.lab.study.page.blocks import Section
from attacker.lab.study.page.markdown import render_markdown
from attacker.lab.study.read import StudyTables, read_study
from attacker.run_folder import commit
from shared.checkpoint import write_atomically

PAGE_NAME, MARKDOWN_NAME = "study.html", "study.md"
_HERE = Path(__file__).parent
_REPORT = Path(builder.__file__).parent
_CSS = (_REPORT / "report.css", _REPORT.parent / "paper" / "paper.css")


@dataclass(frozen=True)
class Page:
    """The page before it has a form."""

    title: str
    victim: str | None
    headline: str
    advice: tuple[words.Advice, ...]
    sections: tuple[Section, ...]
    commands: tuple[str, ...]


def make_page(tables: StudyTables, command: str) -> Page:
    """Return the page of a study; ``command`` is the shell line that makes it."""
    found = sections.measure(tables)
    manifest = tables.manifest
    run = manifest.text("command") or "earshot-attacker study STUDY.yaml --bundle …"
    return Page(
        title=manifest.text("study", "title") or tables.folder.name,
        victim=manifest.victim,
        headline=words.headline(found.choices, found.costs),
        advice=tuple(words.advice(one, found.costs) for one in found.choices),
        sections=(
            stolen.theft(found),
            sections.cost(found),
            stolen.price(found),
            watch.detectors(found),
            closing.standard(found),
            closing.rules(),
            closing.made(found, commit()),
        ),
        commands=(hide_keys(run), hide_keys(command)),
    )


def render(page: Page) -> str:
    """Return ``page`` as one HTML document that refers to nothing outside itself."""
    css = "".join(path.read_text(encoding="utf-8") for path in _CSS)
    return (
        templates(_HERE)
        .get_template("page.html.j2")
        .render(
            css=Markup(css),  # noqa: S704 - our own files
            **{name: getattr(page, name) for name in Page.__dataclass_fields__},
        )
    )


def write_page(
    folder: Path, command: str, out: Path | None = None, markdown: Path | None = None
) -> tuple[Page, Path, Path]:
    """Write the page of the study in ``folder``; return it with the paths of HTML and Markdown.

    Raises:
        ExperimentError: there is no study in the folder, or a table cannot be read.
    """
    page = make_page(read_study(folder), command)
    html, text = out or folder / PAGE_NAME, markdown or folder / MARKDOWN_NAME
    write_atomically(html, render(page).encode())
    write_atomically(text, render_markdown(page).encode())
    return page, html, text
