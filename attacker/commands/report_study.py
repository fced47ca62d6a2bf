"""`earshot-attacker report study FOLDER`: the page that an operator decides from."""

from pathlib import Path

from rich.console import Console

from attacker.errors import ExperimentError

WORD = "study"
"""What is written before the folder of a study."""


def study_folder(folder: Path, named: Path | None) -> Path | None:
    """Return the folder of a study that the command line means, or None if it means another kind.

    Raises:
        ExperimentError: the word ``study`` stands without a folder, or a folder without the word.
    """
    if folder == Path(WORD) and (named is not None or not folder.exists()):
        if named is None:
            raise ExperimentError(
                "`report study` needs the folder of a study. `earshot-attacker study` prints it "
                "when it ends."
            )
        return named
    if named is not None:
        raise ExperimentError(
            f"{named}: one folder at a time. Only `study` and `paper` are followed by one."
        )
    from attacker.lab.study.read import is_study

    return folder if is_study(folder) else None


def report_study(
    folder: Path, command: str, out: Path | None, markdown: Path | None, console: Console
) -> Path:
    """Write the page, tell what it recommends, and return its path.

    Raises:
        ExperimentError: there is no study in the folder, or a table cannot be read.
    """
    from attacker.lab.study.page.build import write_page

    page, html, text = write_page(folder, command, out, markdown)
    lines = [page.headline]
    for item in page.advice:
        lines += [f"{item.title}: {item.verdict}", *(f"  {line}" for line in item.lines)]
    for line in [*lines, f"Markdown: {text}", f"Report: {html}"]:
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    return html
