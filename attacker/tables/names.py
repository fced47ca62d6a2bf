"""Names within a table: what refers to nothing is refused with what there is."""

from collections.abc import Collection


def demand(
    what: str, name: str, known: Collection[str], where: str, *, whose: str = "this table's"
) -> None:
    """Refuse ``name``, which stands at ``where`` for a ``what``, unless it is ``known``.

    Raises:
        ValueError: it is not; ``whose`` says what the known ones belong to.
    """
    if name not in known:
        valid = ", ".join(sorted(known)) or "none"
        raise ValueError(f"{where} names the {what} {name!r}; {whose} are: {valid}")
