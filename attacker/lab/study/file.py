"""Reads a study file with the sizes of one of its profiles."""

from pathlib import Path
from typing import Any

from attacker.lab.study.schema import Study
from attacker.tables.schema import merge
from shared.config import ConfigError, read_yaml, validate


def load_study(path: Path, profile: str, usual_root: Path | None = None) -> Study:
    """Return the study at ``path``, with its profile merged over the rest.

    ``usual_root`` is where every corpus that lies in a folder is found, if it is given.

    Raises:
        ConfigError: the file does not fit the schema, or there is no such profile.
    """
    data = read_yaml(path)
    if not isinstance(data, dict) or "attackers" not in data:
        raise ConfigError(
            f"{path}: no study (it has no `attackers`). Name a file like those in "
            "attacker/experiments/studies."
        )
    profiles = data.pop("profiles", {})
    if not isinstance(profiles, dict) or profile not in profiles:
        known = ", ".join(map(str, profiles)) or "none"
        raise ConfigError(f"{path}: no profile {profile!r}; it has {known}. Name one of these.")
    whole = merge(data, profiles[profile] or {})
    study = validate(whole, Study, origin=f"{path} ({profile})")
    return study if usual_root is None else _moved(study, usual_root)


def _moved(study: Study, root: Path) -> Study:
    corpora: dict[str, Any] = {
        name: spec.model_copy(update={"root": str(root)})
        if "root" in type(spec).model_fields
        else spec
        for name, spec in study.corpora.items()
    }
    return study.model_copy(update={"corpora": corpora})
