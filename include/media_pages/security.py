"""The door of the pages: nobody without Airflow's login, nothing changed by another site, no script but ours."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import nullcontext
from urllib.parse import quote

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from include.media_api.gateway import in_name_of
from include.media_pages.login import Login, Person, Right

__all__ = ["DoorMiddleware", "StartersMiddleware", "content_security_policy"]

HEADER = "x-reelflow"
_READS = {"GET", "HEAD"}
_NOT_CROSS_SITE = {"same-origin", "none"}
_NOT_LET: Mapping[Right, str] = {
    "read": "Airflow does not let you see these runs.",
    "start": "Airflow does not let you start this.",
    "change": "Airflow does not let you change these runs.",
}


class DoorMiddleware:
    """Lets through who is logged in, with ``request.state.person``, and puts the headers of security on every answer.

    In front of everything, also of paths that do not exist. What changes something must bear the header ``X-Reelflow`` (which a
    page of another site cannot send without asking first, and nobody answers such a question) and come from a page of this site.
    """

    def __init__(self, app: ASGIApp, login: Login, policy: str) -> None:
        self._app = app
        self._login = login
        self._policy = policy

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._add_headers(MutableHeaders(scope=message))
            await send(message)

        person = await self._login.person(HTTPConnection(scope))
        if person is None:
            await self._stranger(scope)(scope, receive, guarded)
        elif (refusal := _refusal(scope)) is not None:
            await JSONResponse({"message": refusal}, status_code=403)(scope, receive, guarded)
        else:
            # A mounted app shares the root app's state dictionary, which other requests see: replace, never update.
            scope["state"] = {**scope.get("state", {}), "person": person}
            # Airflow's own log tells who has changed something, and Airflow has the last word on whether they may.
            with nullcontext() if scope["method"] in _READS else in_name_of(person.token):
                await self._app(scope, receive, guarded)

    def _stranger(self, scope: Scope) -> Response:
        """Return the answer to one who is not logged in: a browser that opens a page is led to the login."""
        headers = Headers(scope=scope)
        if scope["method"] in _READS and "text/html" in headers.get("accept", ""):
            query = scope.get("query_string", b"").decode("latin-1")
            back = quote(scope["path"]) + (f"?{query}" if query else "")
            return RedirectResponse(self._login.address(back), status_code=303)
        return JSONResponse({"message": "Log in to Airflow first."}, status_code=401)

    def _add_headers(self, headers: MutableHeaders) -> None:
        headers["content-security-policy"] = self._policy
        headers["x-content-type-options"] = "nosniff"
        headers["referrer-policy"] = "same-origin"
        headers["cross-origin-resource-policy"] = "same-origin"
        headers["vary"] = "Cookie, Authorization"
        headers.setdefault("cache-control", "no-store")


class StartersMiddleware:
    """Lets through to a contract's app who may start runs of a path's DAGs; to requests that only read, who may see them.

    What gives write access counts as starting, whatever its method; what removes something wants the right to change runs.
    """

    def __init__(self, app: ASGIApp, dags: Mapping[str, Collection[str]], writing: str = "") -> None:
        """Wrap ``app``; ``dags`` are those of its paths by their first name, ``writing`` how paths that give write access end.

        Paths with any other first name are refused.
        """
        self._app = app
        self._dags = dags
        self._writing = writing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or refuse it."""
        path = scope["path"].removeprefix(scope.get("root_path", ""))
        person: Person = scope["state"]["person"]
        reads = scope["method"] in _READS and not (self._writing and path.endswith(self._writing))
        right: Right = "read" if reads else "change" if scope["method"] == "DELETE" else "start"
        dags = self._dags.get(path.removeprefix("/").partition("/")[0])
        if dags is None or not all(person.may(right, dag_id) for dag_id in dags):
            await JSONResponse({"message": _NOT_LET[right]}, status_code=403)(scope, receive, send)
            return
        await self._app(scope, receive, send)


def content_security_policy(origins: Iterable[str]) -> str:
    """Return the policy of the pages: scripts and styles are files of ours; media come from S3 at ``origins``, too."""
    places = " ".join(["'self'", *origins])
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "font-src 'self'",
            f"img-src {places}",
            f"media-src {places}",
            f"connect-src {places}",
            "form-action 'self'",
            "base-uri 'none'",
            "frame-ancestors 'self'",
        )
    )


def _refusal(scope: Scope) -> str | None:
    """Return why a request that would change something is refused."""
    if scope["method"] in _READS:
        return None
    headers = Headers(scope=scope)
    # Browsers that do not send it do not let another site's page send our header, either.
    if headers.get("sec-fetch-site", "same-origin") not in _NOT_CROSS_SITE or headers.get(HEADER) != "1":
        return "This request did not come from a page of Reelflow."
    return None
