"""What leaves the house under a plan, worked out from its label mode and its chain alone.

The laboratory may not import the victim, so what each kind of defence does to an answer is said
here again; tests/contract holds it against the victim's own specs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

Document = Mapping[str, Any]
Defence = Mapping[str, Any]

LABEL, CONFIDENCE, LITTLE, MUCH, ALL = range(5)
"""How much is told: the label; a word of confidence besides; a few figures; most of them; all."""
_FEW_DECIMALS = 1
"""With 2 and 3 a thief still got more than from labels alone (Tramèr et al., 2016, section 7)."""
_FEW_LABELS = 5
"""The most leading probabilities that count as a few, if there are more than twice as many."""
_KEEPS_LABEL = frozenset({
    "confidence_buckets", "label_only", "modelguard_s", "modelguard_w", "proof_of_work", "rounding",
    "temperature", "top_k",
})  # fmt: skip
_MAY_KEEP_LABEL: Mapping[str, tuple[str, Any, Any]] = {
    "gradient_redirection": ("preserve_argmax", True, True),
    "mad": ("variant", "argmax", "argmax"),
    "noise": ("preserve_argmax", True, False),
    "reverse_sigmoid": ("preserve_argmax", True, True),
}
"""By kind, the field that decides, its value with which the label stays, and its default."""
_UNCHANGED = frozenset({"proof_of_work"})
"""What they ask for is no part of the answer."""
_TURNED_BACK = _UNCHANGED | {"temperature"}
"""Whoever knows the setting has the model's own probabilities again."""
_LABEL_ALONE = ("label_only", "deceptive_labels")


class Rank(NamedTuple):
    """How much one step leaves, at most; less is told by a smaller one."""

    form: int
    figures: int = 0
    """Probabilities, or decimals of each, of what is few or most."""


@dataclass(frozen=True)
class Told:
    """What an answer tells."""

    rank: Rank
    words: str
    """What leaves, and which step of the plan leaves no more."""
    changed_by: tuple[str, ...]
    """Kinds of defences after which it is not what the same label mode tells without a chain."""
    hidden_by: tuple[str, ...]
    """Those of them that nobody turns back."""
    mark_kept: bool
    """Whether a watermark is in the labels, and nothing behind it changes labels again."""


def told(document: Document, labels: int | None = None) -> Told:
    """Return what the plan ``document`` tells; ``labels`` is how many the victim knows, if known.

    A step that is not known is taken for one that changes labels and takes nothing away.
    """
    chain = defences(document)
    steps = [_of_mode(document, labels), *(_of_defence(one, labels) for one in chain)]
    rank, words = min(steps, key=lambda step: step[0])
    hard = document.get("label_mode") == "hard"
    changing = [d for d in chain if not (keeps_label(d) if hard else _keeps_all(d, labels))]
    kinds = [kind_of(one) for one in chain]
    last_mark = max((place for place, kind in enumerate(kinds) if kind == "dawn"), default=None)
    behind = [] if last_mark is None else chain[last_mark + 1 :]
    return Told(
        rank=rank,
        words=words,
        changed_by=tuple(kind_of(one) for one in changing),
        hidden_by=tuple(kind_of(d) for d in changing if kind_of(d) not in _TURNED_BACK),
        mark_kept=last_mark is not None and all(keeps_label(one) for one in behind),
    )


def defences(document: Document) -> Sequence[Defence]:
    """Return the chain of a plan's document, in order."""
    return tuple(document.get("defences") or ())


def detectors_of(document: Document) -> tuple[str, ...]:
    """Return the kinds of what watches under a plan's document, in order."""
    return tuple(kind_of(one) for one in document.get("detectors") or ())


def kind_of(part: Mapping[str, Any]) -> str:
    """Return the kind of a defence, a detector or a step."""
    return str(part.get("kind"))


def keeps_label(defence: Defence) -> bool:
    """Return whether the most probable label is the same behind ``defence`` as before it."""
    kind = kind_of(defence)
    if kind not in _MAY_KEEP_LABEL:
        return kind in _KEEPS_LABEL
    name, keeping, default = _MAY_KEEP_LABEL[kind]
    return bool(defence.get(name, default) == keeping)


def _keeps_all(defence: Defence, labels: int | None) -> bool:
    kind, count = kind_of(defence), defence.get("k")
    all_lead = kind == "top_k" and labels is not None and isinstance(count, int) and count >= labels
    return kind in _UNCHANGED or all_lead


def _of_mode(document: Document, labels: int | None) -> tuple[Rank, str]:
    mode = str(document.get("label_mode"))
    by = f"label mode {mode}"
    if mode == "hard":
        return Rank(LABEL), f"only a label leaves ({by})"
    if mode == "top_k":
        return _leading(document.get("top_k"), labels, by)
    if mode == "rounded":
        return _rounded(document.get("decimals"), by)
    return Rank(ALL), f"all probabilities leave ({by})"


def _of_defence(defence: Defence, labels: int | None) -> tuple[Rank, str]:
    kind = kind_of(defence)
    if kind in _LABEL_ALONE:
        return Rank(LABEL), f"only a label leaves ({kind})"
    if kind == "confidence_buckets":
        return Rank(CONFIDENCE), f"a label and one of three confidences leave ({kind})"
    if kind == "top_k":
        return _leading(defence.get("k"), labels, kind)
    if kind == "rounding":
        return _rounded(defence.get("decimals"), kind)
    return Rank(ALL, 1), ""  # never the least: the label mode stands before it


def _leading(count: Any, labels: int | None, by: str) -> tuple[Rank, str]:
    if not isinstance(count, int) or (labels is not None and count >= labels):
        return Rank(ALL), f"all probabilities leave ({by})"
    few = count <= _FEW_LABELS and (labels is None or 2 * count < labels)
    of = "" if labels is None else f" of {labels:,}"
    said = f"the {count:,}{of} largest probabilities leave ({by})"
    return Rank(LITTLE if few else MUCH, count), said


def _rounded(decimals: Any, by: str) -> tuple[Rank, str]:
    if not isinstance(decimals, int):
        return Rank(ALL), f"all probabilities leave ({by})"
    places = "1 decimal" if decimals == 1 else f"{decimals} decimals"
    said = f"all probabilities leave, to {places} ({by})"
    return Rank(LITTLE if decimals <= _FEW_DECIMALS else MUCH, decimals), said
