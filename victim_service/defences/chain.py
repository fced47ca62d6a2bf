"""Which chains of defences make sense: each link needs something that the one before must leave."""

from collections.abc import Sequence
from typing import get_args

from victim_service.defences.base import DefenceSpec, Form

_FORMS: tuple[Form, ...] = get_args(Form)
_WORDS: dict[Form, str] = {
    "soft": "exact probabilities",
    "coarse": "shortened probabilities",
    "top": "the leading probabilities",
    "confidence": "a label and a confidence",
    "label": "a label",
}


def check_chain(specs: Sequence[DefenceSpec]) -> None:
    """Return when the chain makes sense.

    Raises:
        ValueError: a link softens, or draws on, what the links before it took away, or repeats one,
            or may change the labels by which the owner would know a watermark again.
    """
    check_repeats(specs)
    check_forms(specs)
    check_marks(specs)


def check_repeats(specs: Sequence[DefenceSpec]) -> None:
    """Return when no link repeats another.

    Raises:
        ValueError: two of a kind do what one can do alone.
    """
    seen: set[str] = set()
    for spec in specs:
        if spec.kind in seen and not spec.repeats:
            raise ValueError(f"two of {spec.kind} do what one can do alone. Keep one of them")
        seen.add(spec.kind)


def check_marks(specs: Sequence[DefenceSpec]) -> None:
    """Return when no link changes the labels by which the owner would know a watermark again.

    Raises:
        ValueError: a link after the watermark may change labels.
    """
    mark = ""
    for spec in specs:
        if mark and not spec.argmax_kept:
            raise ValueError(
                f"{spec.kind} after {mark} may change the labels that {mark} marks, and then "
                f"nobody finds the mark. Put {mark} last, or leave {spec.kind} out"
            )
        mark = spec.kind if spec.marks else mark


def check_temperatures(temperatures: Sequence[float]) -> None:
    """Return when no temperature sharpens what an earlier one flattened, or the reverse.

    No other defence has an inverse among the defences.

    Raises:
        ValueError: one does.
    """
    for place, later in enumerate(temperatures):
        for earlier in temperatures[:place]:
            if (later - 1) * (earlier - 1) < 0:
                raise ValueError(
                    f"temperature {later:g} undoes the {earlier:g} before it. "
                    "Leave it out, or set one that goes the same way from 1"
                )


def check_forms(specs: Sequence[DefenceSpec], left: Form = "soft", by: str = "") -> None:
    """Return when each link finds what it needs in rows that tell ``left`` at first.

    ``by`` names what took away the rest, for the message.

    Raises:
        ValueError: a link softens, or draws on, what was taken away before it.
    """
    for spec in specs:
        if _less(left, spec.needs):
            raise ValueError(
                f"{spec.kind} needs {_WORDS[spec.needs]}, and {by} before it leaves no more than "
                f"{_WORDS[left]}. Put {spec.kind} before {by}, or leave one of them out"
            )
        left, by = leaves((spec,), left, by)


def leaves(specs: Sequence[DefenceSpec], left: Form = "soft", by: str = "") -> tuple[Form, str]:
    """Return what rows that told ``left`` at most, because of ``by``, tell at most after a chain,
    and because of what."""
    for spec in specs:
        if _less(spec.gives, left):
            left, by = spec.gives, spec.kind
    return left, by


def check_release(
    specs: Sequence[DefenceSpec], mode: str, needs: Form, labels: int | None = None
) -> None:
    """Return when label mode ``mode``, which ``needs`` rows of a form, makes sense after a chain.

    ``labels`` is how many probabilities the mode shows; None for all, or for none.

    Raises:
        ValueError: it shows what the chain took away.
    """
    for spec in specs:
        if _less(spec.gives, needs):
            raise ValueError(
                f"label_mode {mode} needs {_WORDS[needs]}, and {spec.kind} leaves no more than "
                f"{_WORDS[spec.gives]}. Take another label mode, or leave {spec.kind} out"
            )
        if labels is not None and spec.leading is not None and spec.leading < labels:
            raise ValueError(
                f"label_mode {mode} shows {labels} probabilities, and {spec.kind} leaves "
                f"{spec.leading}. Show {spec.leading} or less, or leave {spec.kind} out"
            )


def _less(form: Form, other: Form) -> bool:
    return _FORMS.index(form) > _FORMS.index(other)
