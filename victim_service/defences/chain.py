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
    left: Form = "soft"
    by = ""
    seen: set[str] = set()
    mark = ""
    for spec in specs:
        if spec.kind in seen and not spec.repeats:
            raise ValueError(f"two of {spec.kind} do what one can do alone. Keep one of them")
        if _less(left, spec.needs):
            raise ValueError(
                f"{spec.kind} needs {_WORDS[spec.needs]}, and {by} before it leaves no more than "
                f"{_WORDS[left]}. Put {spec.kind} before {by}, or leave one of them out"
            )
        if mark and not spec.argmax_kept:
            raise ValueError(
                f"{spec.kind} after {mark} may change the labels that {mark} marks, and then "
                f"nobody finds the mark. Put {mark} last, or leave {spec.kind} out"
            )
        seen.add(spec.kind)
        mark = spec.kind if spec.marks else mark
        if _less(spec.gives, left):
            left, by = spec.gives, spec.kind


def check_release(specs: Sequence[DefenceSpec], mode: str, needs: Form) -> None:
    """Return when label mode ``mode``, which ``needs`` rows of a form, makes sense after a chain.

    Raises:
        ValueError: it shows what the chain took away.
    """
    for spec in specs:
        if _less(spec.gives, needs):
            raise ValueError(
                f"label_mode {mode} needs {_WORDS[needs]}, and {spec.kind} leaves no more than "
                f"{_WORDS[spec.gives]}. Take another label mode, or leave {spec.kind} out"
            )


def _less(form: Form, other: Form) -> bool:
    return _FORMS.index(form) > _FORMS.index(other)
