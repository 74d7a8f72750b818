"""
The description of the admin interface (OpenAPI 3.1), made from the table of paths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final

from socksgw.admin.fields import Field
from socksgw.admin.table import ERROR, JSON, Answer, Asked, Entry, asJson

__all__ = ["describing", "description"]

#: The path of the description.
_PATH: Final = "/openapi.json"

_TEXTS: Final[Mapping[int, str]] = {
    200: "Done.",
    400: "What was asked with cannot be.",
    401: "There is no token, or nobody has it.",
    403: "The caller may not, or a page of another site asks.",
    404: "There is none.",
    409: "It cannot be done now.",
    413: "The body is too long.",
    415: "The body is no JSON.",
    421: "Nobody asks by this name of the host.",
    422: "It cannot be used; problems tells why.",
    429: "Too many ask at a time.",
    500: "A defect; the log says more.",
    503: "Not now; see the answer.",
}


def describing(entries: Sequence[Entry]) -> Entry:
    """
    Return the entry that describes others, and itself.

    @param entries: the others.
    """

    def handler(_: Asked) -> Answer:
        return asJson(description([*entries, own]))

    own = Entry(
        "GET",
        _PATH,
        handler,
        "Describe the interface: this document.",
        {200: {"type": "object"}},
        role="",
    )
    return own


def description(entries: Sequence[Entry]) -> Mapping[str, Any]:
    """Return the document."""
    paths: dict[str, dict[str, Any]] = {}
    for entry in entries:
        paths.setdefault(entry.path, {})[entry.method.lower()] = _operation(entry)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "socksgw admin interface",
            "version": version("socksgw"),
            "description": "Live sessions, health and acts of a SOCKS gateway. At a "
            "Unix socket root and the gateway's own user need no token.",
        },
        "paths": paths,
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {"Error": ERROR},
        },
    }


def statusesOf(entry: Entry) -> dict[int, bool]:
    """Return the statuses that an entry may answer, and whether each is a refusal."""
    refusals = {400, 403, 421, 500, *entry.refuses}
    if entry.role:
        refusals.add(401)
    if entry.body:
        refusals |= {413, 415}
    return {
        status: status not in entry.answers for status in {*entry.answers, *refusals}
    }


def _operation(entry: Entry) -> Mapping[str, Any]:
    words = entry.path.strip("/").replace("{", "").replace("}", "").replace(".", "/")
    operation: dict[str, Any] = {
        "operationId": "-".join([entry.method.lower(), *words.split("/")]).strip("-"),
        "summary": entry.says,
        "parameters": [
            *(_parameter(field, "path") for field in entry.inPath),
            *(_parameter(field, "query") for field in entry.query),
        ],
        "responses": {
            str(status): _response(entry, status, refusal)
            for status, refusal in sorted(statusesOf(entry).items())
        },
        "security": [{"token": []}] if entry.role else [],
    }
    if entry.role:
        operation["description"] = f"Needs the role {entry.role}."
    if entry.public:
        operation["description"] = (
            f'Needs the role {entry.role}, unless [admin] public has "{entry.public}".'
        )
    if entry.body:
        needed = [field.name for field in entry.body if field.required]
        schema: dict[str, Any] = {
            "type": "object",
            "properties": {
                field.name: {**_schema(field), "description": field.help}
                for field in entry.body
            },
            "additionalProperties": False,
        }
        if needed:
            schema["required"] = needed
        operation["requestBody"] = {
            "required": bool(needed),
            "content": {JSON: {"schema": schema}},
        }
    return operation


def _parameter(field: Field, where: str) -> Mapping[str, Any]:
    return {
        "name": field.name,
        "in": where,
        "description": field.help,
        "required": where == "path" or field.required,
        "schema": _schema(field),
    }


def _schema(field: Field) -> Mapping[str, Any]:
    several = field.kind == "strings"
    schema: dict[str, Any] = {"type": "string" if several else field.kind}
    if field.one:
        schema["enum"] = list(field.one)
    elif schema["type"] == "string":
        schema["maxLength"] = field.longest
    if field.least is not None:
        schema["minimum"] = field.least
    if field.most is not None:
        schema["maximum"] = field.most
    return {"type": "array", "items": schema} if several else schema


def _response(entry: Entry, status: int, refusal: bool) -> Mapping[str, Any]:
    response: dict[str, Any] = {"description": _TEXTS.get(status, "Done.")}
    if refusal:
        error = {"$ref": "#/components/schemas/Error"}
        response["content"] = {JSON: {"schema": error}}
        return response
    schema = entry.answers[status]
    if schema is not None:
        response["content"] = {JSON: {"schema": schema}}
    elif entry.kinds:
        text = {"schema": {"type": "string"}}
        response["content"] = dict.fromkeys(entry.kinds, text)
    return response
