"""Fields that hold any plug-in of a table, told apart by ``kind``."""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import BaseModel

from shared.config import validate


def of_kind(table: Mapping[str, type[BaseModel]], base: type[BaseModel]) -> Callable[[Any], Any]:
    """Return what makes plain data a spec of ``table``; specs, which are a ``base``, pass.

    It is to be a ``BeforeValidator``; the table is looked into whenever a field is read.
    """

    def read(data: Any) -> Any:
        if isinstance(data, base):
            return data
        kind = data.get("kind") if isinstance(data, dict) else None
        spec = table.get(kind) if isinstance(kind, str) else None
        if spec is None:
            valid = ", ".join(sorted(table))
            raise ValueError(f"unknown kind {kind!r}; valid kinds: {valid}. Write one of these")
        return validate(data, spec, origin=str(kind))

    return read
