"""JSON requests of the operator's routes, read and checked, and how OpenAPI tells of them.

FastAPI would read a body of any size before anybody looks at the key, so the routes do it.
"""

import re
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel
from pydantic_core import from_json

from shared import contract
from shared.config import ConfigError, validate
from victim_service.api import guards
from victim_service.errors import Refusal
from victim_service.parts import Parts

ModelT = TypeVar("ModelT", bound=BaseModel)

SECURED: dict[str, Any] = {"security": [{"bearer": []}]}
BODY_PROBLEMS = ("malformed-request", "slow-body", "too-large", "unsupported-media-type")
_MAX_BODY_BYTES = 65_536
_MAX_DETAIL = 500


async def json_body(parts: Parts, request: Request) -> Any:
    """Return the JSON that was sent.

    Raises:
        Refusal: unsupported-media-type, too-large, slow-body, malformed-request.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != contract.JSON_MEDIA_TYPE:
        raise Refusal("unsupported-media-type", f"Send {contract.JSON_MEDIA_TYPE}.")
    with parts.bodies.hold() as hold:
        body = await guards.read_body(request, parts, media_type, hold)
    if len(body) > _MAX_BODY_BYTES:
        raise Refusal("too-large", f"The body may hold {_MAX_BODY_BYTES} bytes. Send less.")
    try:
        return from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise Refusal("malformed-request", f"The body is not JSON: {error}. Mend it.") from error


def checked(data: Any, model: type[ModelT]) -> ModelT:
    """Return ``data`` as a model.

    Raises:
        Refusal: malformed-request, with the field named.
    """
    try:
        return validate(data, model, origin="body")
    except ConfigError as error:
        detail = str(error)
        short = detail if len(detail) <= _MAX_DETAIL else detail[: _MAX_DETAIL - 1] + "…"
        raise Refusal("malformed-request", short) from error


def path_name(request: Request, name: str, pattern: str) -> str:
    """Return a part of the path.

    Raises:
        Refusal: not-found, for what cannot be a name: the ledger is not asked for it.
    """
    value = str(request.path_params[name])
    if not re.fullmatch(pattern, value, re.ASCII):
        raise missing(name, value, request.url.path.rpartition("/")[0])
    return value


def missing(name: str, value: str, path: str) -> Refusal:
    """Return the refusal of a thing that is not there; ``path`` lists those that are."""
    return Refusal("not-found", f"There is no {name} {value[:64]!r}. GET {path} lists them.")


def named(name: str, pattern: str) -> dict[str, Any]:
    """Return the OpenAPI of an operation on one thing, which the path names."""
    schema = {"type": "string", "pattern": pattern}
    parameter = {"name": name, "in": "path", "required": True, "schema": schema}
    return {**SECURED, "parameters": [parameter]}


def takes(schema: str) -> dict[str, Any]:
    """Return the OpenAPI of an operation with a body of ``request_schemas()[schema]``."""
    content = {contract.JSON_MEDIA_TYPE: {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {**SECURED, "requestBody": {"required": True, "content": content}}
