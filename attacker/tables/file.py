"""Reads a table file: what it extends, then one of its profiles, then the defaults of its rows."""

from pathlib import Path
from typing import Any, Literal

from attacker.tables.schema import Table, merge
from shared.config import ConfigError, read_yaml, validate

_DEEPEST = 4
"""Files that extend one another; more is a circle."""
_ROW_DEFAULTS = ("budget", "sampler")


def load_table(path: Path, profile: str) -> Table:
    """Read the table at ``path`` with the sizes of ``profile``.

    The file is merged over the one that it ``extends``, and its profile over the rest: mappings key
    by key, rows by their ids, anything else as a whole. A row without ``budget`` or ``sampler`` has
    that of the table. A file that extends another and names neither itself nor a profile is called
    as its file is, and has the profiles of the other.

    Raises:
        ConfigError: a file does not fit the schema, or there is no such profile.
    """
    data, profiles = _read(path, ())
    if profile not in profiles:
        known = ", ".join(profiles) or "none"
        raise ConfigError(f"{path}: no profile {profile!r}; it has {known}. Name one of these.")
    origin = f"{path} ({profile})"
    sizes = data.pop("profiles")[profile]
    changes = sizes.pop("rows", {})
    whole = merge(data, sizes)
    defaults = {name: whole.pop(name) for name in _ROW_DEFAULTS if name in whole}
    rows = whole.get("rows")
    if isinstance(rows, dict):
        raise ConfigError(
            f"{path}: rows: write a list of rows here. As a mapping from ids, rows are changed "
            "below `profiles`: profiles.NAME.rows."
        )
    if isinstance(rows, list) and all(isinstance(row, dict) for row in rows):
        where = f"{path}: profiles.{profile}.rows"
        whole["rows"] = [{**defaults, **row} for row in _change(rows, changes, where)]
    return validate(whole, Table, origin=origin)


def profiles_of(path: Path) -> tuple[str, ...]:
    """Return the names of the profiles that the table at ``path`` has.

    Raises:
        ConfigError: the file cannot be read, or it has none.
    """
    _, profiles = _read(path, ())
    if not profiles:
        raise ConfigError(
            f"{path}: no profile. Add `profiles: {{desk: {{...}}}}` with the sizes that it is for."
        )
    return profiles


def kind_of(path: Path) -> Literal["table", "experiment"]:
    """Return what the YAML file at ``path`` holds.

    Raises:
        ConfigError: it is neither.
    """
    data = read_yaml(path)
    if isinstance(data, dict) and "campaigns" in data:
        return "experiment"
    if isinstance(data, dict) and "extends" in data:
        data, _ = _read(path, ())
    if isinstance(data, dict) and "rows" in data:
        return "table"
    raise ConfigError(
        f"{path}: neither an experiment (it has no `campaigns`) nor a table (it has no `rows`). "
        "Name a file like those in attacker/experiments."
    )


def _read(path: Path, below: tuple[Path, ...]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the plain data of the file and what it extends, and the names of its profiles."""
    data = read_yaml(path)
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: not a table. Write its keys at the top of the file.")
    profiles = data.get("profiles", {})
    if not isinstance(profiles, dict) or not all(isinstance(p, dict) for p in profiles.values()):
        raise ConfigError(f"{path}: profiles: write a mapping from names to what differs there.")
    parent = data.pop("extends", None)
    if parent is None:
        return {"profiles": {}, **data}, tuple(profiles)
    if len(below) >= _DEEPEST:
        raise ConfigError(f"{path}: `extends` goes in a circle. Remove one of them.")
    base, known = _read(path.parent / str(parent), (*below, path))
    # The other's name would put both into one folder, where the later one replaces the first.
    base["name"] = path.stem.lower()
    return merge(base, data), tuple(profiles) or known


def _change(rows: list[Any], changes: Any, where: str) -> list[Any]:
    if not isinstance(changes, dict):
        raise ConfigError(f"{where}: write a mapping from row ids to what differs there.")
    unknown = sorted(set(map(str, changes)) - {str(row.get("id")) for row in rows})
    if unknown:
        raise ConfigError(f"{where}: no row {', '.join(unknown)}. Mend the id.")
    return [merge(row, changes.get(row.get("id")) or {}) for row in rows]
