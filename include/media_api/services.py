"""What the routes need: settings, store and gateway of the app, and a request's body as a model."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property, partial
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from include.media_api.errors import parameter_error
from include.media_api.gateway import AirflowGateway
from include.media_api.remembered import Remembered
from include.media_api.starts import Starts
from include.media_store.objects import ObjectStore
from include.settings import Settings
from include.worker.task_request import TaskRequest

__all__ = ["Services", "ServicesDependency", "body_documentation", "json_body"]

MAX_BODY_BYTES = 2**20
PUBLISHED_SECONDS = 15
TASK_SECONDS = 600

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Services:
    """What an app was made with."""

    settings: Settings
    store: ObjectStore
    gateway: AirflowGateway
    published: Remembered[tuple[str, str], bool] = field(default_factory=partial(Remembered, 100_000, PUBLISHED_SECONDS))
    """Outputs, by bucket and key, that were there when last looked for."""
    tasks: Remembered[str, TaskRequest] = field(default_factory=partial(Remembered, 5_000, TASK_SECONDS))
    """Tasks of contract 3 by run id: an id stands for what is asked for, so only the time of another one could differ."""
    weights: Remembered[tuple[str, datetime | None], tuple[float, ...]] = field(
        default_factory=partial(Remembered, 5_000, TASK_SECONDS)
    )
    """Weights of the units of a run since it was started (again)."""

    @cached_property
    def starts(self) -> Starts:
        """Runs of tasks that are about to be started."""
        return Starts(self.store, self.settings, self.gateway)


def _services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


ServicesDependency = Annotated[Services, Depends(_services)]


def json_body(model: type[Model], *, default: bytes = b"") -> Callable[[Request], Awaitable[Model]]:
    """Return a dependency that reads the body as JSON, whatever its content type says (scripts often send none).

    ``default`` is what an empty body stands for. At most :data:`MAX_BODY_BYTES` are read. pydantic's own parser refuses deep
    nesting and broken UTF-8 as invalid JSON.
    """

    async def read(request: Request) -> Model:
        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > MAX_BODY_BYTES:
                raise HTTPException(413, f"The body is larger than {MAX_BODY_BYTES} bytes.")
        try:
            return model.model_validate_json(bytes(body) or default)
        except ValidationError as error:
            raise parameter_error(error) from error

    return read


def body_documentation(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """Return the ``openapi_extra`` of a route that reads its body with :func:`json_body`."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}
