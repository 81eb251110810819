"""Forms in Airflow's UI made from request models, and runs' parameters read back with the same models."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, TypeVar

from airflow.sdk import Param
from pydantic import BaseModel, ValidationError

from include.errors import ParameterError

__all__ = ["form", "read"]

Request = TypeVar("Request", bound=BaseModel)


def form(
    model: type[BaseModel], *, exclude: Collection[str] = (), optional: Collection[str] = (), **defaults: Any
) -> dict[str, Param]:
    """Return the form of ``model``: one field each with its title, description, choices, bounds and default.

    Those that are ``optional`` may be left out of a run's conf, whatever the model says; :func:`read` still wants them.
    """
    fields = model.model_json_schema()["properties"]
    required = set(model.model_json_schema().get("required", ())) - set(optional)
    return {
        name: _param(name, schema, defaults.get(name), name in required) for name, schema in fields.items() if name not in exclude
    }


def read(model: type[Request], context: Mapping[str, Any]) -> Request:
    """Return the run's parameters as ``model``; raises :class:`ParameterError` naming every field that is wrong."""
    values = dict(context["params"]) | (context["dag_run"].conf or {})
    # An empty field of the form is one that was left out.
    given = {name: value for name, value in values.items() if value not in (None, "")}
    try:
        return model.model_validate(given)
    except ValidationError as error:
        problems = [f"{'.'.join(map(str, item['loc'])) or 'request'}: {item['msg']}" for item in error.errors()]
        raise ParameterError("The run's parameters are wrong. " + "; ".join(problems) + ".") from None


def _param(name: str, schema: dict[str, Any], default: Any, required: bool) -> Param:
    schema = dict(schema)
    description = schema.pop("description", None)
    value = schema.pop("default", None) if default is None else default
    schema.pop("default", None)
    choices = schema.pop("anyOf", None)
    if choices:
        # Optional[X] is {anyOf: [X, null]} in pydantic's schema; the form wants X with two types.
        kept = next(choice for choice in choices if choice.get("type") != "null")
        schema = schema | kept | {"type": [kept.get("type", "string"), "null"]}
    if "const" in schema:
        schema["enum"] = [schema.pop("const")]
    if not required and "null" not in schema.get("type", ()):
        schema["type"] = [schema.get("type", "string"), "null"]
    if "enum" in schema and "null" in schema["type"] and value is None:
        schema["enum"] = [*schema["enum"], None]
    schema["title"] = name
    if required and value is None:
        # A field without a value would refuse to let the DAG load; an empty one is refused when a run is triggered.
        return Param(description=description, **schema)
    return Param(value, description=description, **schema)
