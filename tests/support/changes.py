"""Documents of tests with some of their values changed."""

import copy
from collections.abc import Mapping
from typing import Any


def with_changes(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``document`` with values replaced, or removed by None, at dotted paths.

    ``__`` stands for a dot.
    """
    data = copy.deepcopy(dict(document))
    for path, value in changes.items():
        *parents, last = path.split("__")
        place: Any = data
        for name in parents:
            place = place[int(name) if name.isdigit() else name]
        at = int(last) if last.isdigit() else last
        if value is None:
            del place[at]
        else:
            place[at] = copy.deepcopy(value)  # a later change may be of a part of it
    return data
