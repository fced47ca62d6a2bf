"""The manifest of a study: how its tables were made."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attacker.errors import ExperimentError

MANIFEST_FILE = "study.json"
PLACE = ("plan", "label_mode", "budget", "attacker", "seed")
"""What tells the cells of a study apart; a name may be cut short."""


@dataclass(frozen=True)
class Manifest:
    """How a study was made; everything may be unknown."""

    data: Mapping[str, Any] = field(default_factory=dict)

    def text(self, *names: str) -> str | None:
        """Return the value below these names as text; None where it is not there."""
        value: Any = self.data
        for name in names:
            value = value.get(name) if isinstance(value, Mapping) else None
        return None if value is None or isinstance(value, Mapping | list) else str(value)

    @property
    def victim(self) -> str | None:
        """What the victim goes by: the beginning of its checkpoint, for victims tell no name."""
        checkpoint = self.text("victim", "checkpoint")
        return checkpoint and checkpoint[:12]

    @property
    def sold_as(self) -> dict[tuple[str, str], str]:
        """By plan and label mode, the name that it is sold under."""
        return {(c["plan"], c["label_mode"]): c["sold_as"] for c in self._items("cells")}

    def document(self, plan: str, mode: str) -> dict[str, Any] | None:
        """Return the victim's plan as it was sold; None where it is not known."""
        found = (self.data.get("plans") or {}).get(self.sold_as.get((plan, mode), ""))
        return dict(found) if isinstance(found, Mapping) else None

    def labels(self, kind: str) -> dict[str, str]:
        """Return by id what the study calls its ``plans`` or ``attackers``."""
        return {one["id"]: one.get("label") or one["id"] for one in self._of_study(kind)}

    def item(self, kind: str, id_: str) -> dict[str, Any]:
        """Return one of the study's ``plans`` or ``attackers`` as written; empty if unknown."""
        return next((dict(one) for one in self._of_study(kind) if one["id"] == id_), {})

    def cells_beside(self, places: Collection[tuple[Any, ...]]) -> list[str]:
        """Return the names of the study's cells that stand at none of ``places``; see ``PLACE``."""
        whole = [one for one in self._items("cells") if {"cell", *PLACE} <= set(one)]
        return [one["cell"] for one in whole if tuple(one[n] for n in PLACE) not in places]

    def _of_study(self, kind: str) -> Sequence[Mapping[str, Any]]:
        return (self.data.get("study") or {}).get(kind) or ()

    def _items(self, name: str) -> list[dict[str, Any]]:
        return [one for one in self.data.get(name) or () if {"plan", "sold_as"} <= set(one)]


def read_manifest(folder: Path) -> Manifest:
    """Return how the study in ``folder`` was made; an empty manifest where that is not there.

    Raises:
        ExperimentError: it is damaged.
    """
    path = folder / MANIFEST_FILE
    if not path.is_file():
        return Manifest()
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ExperimentError(f"{path}: not JSON. Run the study again to write it.") from error
    return Manifest(data if isinstance(data, dict) else {})
