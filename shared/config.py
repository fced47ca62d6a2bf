"""Frozen configuration models and the one YAML reader.

Experiments, plans, victims and studies are YAML files validated by models derived from
:class:`Frozen`. A wrong file ends in a :class:`ConfigError` whose message names the file, the
dotted path of the wrong key and what would have been valid there.
"""

from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

ModelT = TypeVar("ModelT", bound=BaseModel)


class Frozen(BaseModel):
    """Base of every configuration model: immutable, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def later(default: Any, **rules: Any) -> Any:
    """Return a field that a model got after things had been made with it, and named by its hash.

    No dump names the field at its default, so what was made before it existed keeps its identity.
    ``rules`` are those of ``pydantic.Field``.
    """
    return Field(default=default, exclude_if=lambda value: value == default, **rules)


class ConfigError(ValueError):
    """A configuration file that cannot be used; the message says where and what is valid."""


def load_yaml(path: Path, model: type[ModelT]) -> ModelT:
    """Read the YAML file at ``path`` into ``model``.

    Raises:
        ConfigError: the file is missing, is not YAML, or does not fit the model.
    """
    return validate(read_yaml(path), model, origin=str(path))


def read_yaml(path: Path) -> Any:
    """Return the plain data of the YAML file at ``path``.

    Raises:
        ConfigError: the file is missing, or is not YAML.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise ConfigError(f"{path}: {reason}. Name an existing YAML file in UTF-8.") from error
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {error}. Mend the file at that place.") from error


def validate(data: Any, model: type[ModelT], *, origin: str) -> ModelT:
    """Validate plain data against ``model``; ``origin`` (a file name) opens every message.

    Raises:
        ConfigError: naming the dotted path of each wrong key and, for a wrong kind, the valid ones.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        lines = [_explain(item) for item in error.errors()]
        raise ConfigError(f"{origin}: " + "; ".join(lines)) from error


def dump_yaml(model: BaseModel) -> str:
    """Return the resolved YAML text of a model, keys in the order of its fields."""
    return yaml.safe_dump(model.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def _explain(item: Any) -> str:
    where = ".".join(str(part) for part in item["loc"]) or "(top of the file)"
    context = item.get("ctx", {})
    if item["type"] == "union_tag_invalid":
        return (
            f"{where}: unknown kind {context.get('tag')!r}; valid kinds: "
            f"{context.get('expected_tags')}. Write one of these"
        )
    if item["type"] == "union_tag_not_found":
        return f"{where}: `kind` is missing. Name a kind; `earshot-attacker list` shows all"
    if item["type"] == "extra_forbidden":
        return f"{where}: unknown key. Remove it or mend its spelling"
    if item["type"] == "missing":
        return f"{where}: this key is missing. Add it"
    message = item["msg"].removeprefix("Value error, ").rstrip(".")
    if isinstance(item.get("input"), dict | list):
        return f"{where}: {message}"
    return f"{where}: {message} (got {item.get('input')!r}). Change this value"
