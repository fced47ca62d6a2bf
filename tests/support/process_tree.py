"""The processes that a process started."""

from pathlib import Path


def descendants(root: int) -> dict[int, str]:
    """Return the living descendants of process ``root`` with their command lines."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    found: dict[int, str] = {}
    layer = {root}
    while layer := {child for child, parent in parents.items() if parent in layer}:
        for child in layer:
            try:
                found[child] = Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ")
            except OSError:
                continue
    return found
