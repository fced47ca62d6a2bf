"""The run card as rows of text, with whatever looks like a secret left out."""

import json
import re
from collections.abc import Mapping
from typing import Any

_SECRET_NAME = re.compile(r"(^|[_-])(api[_-]?key|audit[_-]?key|key|secret|token|password)$", re.I)
_KEY_OPTION = re.compile(r"(--(?:audit-)?key[= ]+)('[^']*'|\"[^\"]*\"|\S+)")
_KEY_SHAPE = re.compile(r"\b(?:lab|earshot)_[A-Za-z0-9]+_[A-Za-z0-9_-]{16,}")
_HIDDEN = "(not shown)"


def card_rows(card: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the card as (dotted name, text) rows, nested members spelled out."""
    return list(_rows("", card))


def hide_keys(text: str) -> str:
    """Return ``text`` without the API keys that a command line in it may name."""
    return _KEY_SHAPE.sub(_HIDDEN, _KEY_OPTION.sub(r"\1$KEY", text))


def _rows(prefix: str, value: Any) -> list[tuple[str, str]]:
    if isinstance(value, Mapping):
        rows: list[tuple[str, str]] = []
        for name, item in value.items():
            rows += _rows(f"{prefix}.{name}" if prefix else str(name), item)
        return rows
    if _SECRET_NAME.search(prefix.rsplit(".", 1)[-1]):
        return [(prefix, _HIDDEN)]
    return [(prefix, hide_keys(_text(value)))]


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        if all(isinstance(item, str | int | float) for item in value):
            shown = " ".join(str(item) for item in value[:40])
            return shown if len(value) <= 40 else f"{shown} … ({len(value)} in all)"
        return json.dumps(value, ensure_ascii=False)
    return "none" if value is None else str(value)
