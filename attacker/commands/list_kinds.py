"""`earshot-attacker list`: every kind that an experiment may name, with its fields."""

from typing import Annotated, Any, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from rich.console import Console
from rich.table import Table

from shared.config import Frozen


def list_kinds() -> None:
    """List sources, samplers, adaptions and the rest, with their fields and defaults."""
    console = Console()
    for title, kinds in tables().items():
        table = Table("kind", "field", "type", "default", "what it is", title=title)
        for kind, spec in kinds.items():
            fields = [(n, f) for n, f in spec.model_fields.items() if n != "kind"]
            summary = (spec.__doc__ or "").partition("\n")[0]
            table.add_row(f"[bold]{kind}[/]", "", "", "", summary)
            for name, field in fields:
                table.add_row("", name, show_type(field), show_default(field), field.description)
        console.print(table)


def tables() -> dict[str, dict[str, type[Frozen]]]:
    """Return the package's tables by title; every kind of each is listed."""
    from attacker.adaptive import ADAPTIONS
    from attacker.known_defences import KNOWN_DEFENCES
    from attacker.samplers import SAMPLERS
    from attacker.sources import SOURCES
    from shared.corpora import CorpusSpec
    from shared.honest import USERS
    from shared.networks import IMAGE_NETWORKS, NETWORKS

    corpora = {s.model_fields["kind"].default: s for s in get_args(get_args(CorpusSpec)[0])}
    return {
        "sources": dict(SOURCES),
        "samplers": dict(SAMPLERS),
        "adaptions (surrogate.answers)": dict(ADAPTIONS),
        "known defences (knowledge.defence)": dict(KNOWN_DEFENCES),
        "honest users (earshot-attacker honest)": dict(USERS),
        "corpora": corpora,
        "networks": dict(NETWORKS),
        "image networks": dict(IMAGE_NETWORKS),
    }


def show_default(field: FieldInfo) -> str:
    """Return a field's default, or that it has none."""
    default: Any = field.get_default(call_default_factory=False)
    return "required" if default is PydanticUndefined else str(default)


def show_type(field: FieldInfo) -> str:
    """Return a field's type as a YAML author reads it."""
    kind: Any = field.annotation
    item, *_ = get_args(kind) or (None,)
    specs = get_args(get_args(item)[0]) if get_origin(item) is Annotated else ()
    if specs:  # as the links of a chain
        return "list of " + " | ".join(spec.model_fields["kind"].default for spec in specs)
    return kind.__name__ if isinstance(kind, type) else str(kind).replace("typing.", "")
