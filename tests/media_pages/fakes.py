"""A login without Airflow: who is logged in says a cookie."""

from __future__ import annotations

from urllib.parse import quote

from starlette.requests import HTTPConnection

from include.media_pages.login import DAGS, Person, Right

COOKIE = "_token"


def person(name: str = "ada", *rights: Right, dags: tuple[str, ...] = DAGS) -> Person:
    """Return a user with these rights (all, where none is named) to these DAGs."""
    given: tuple[Right, ...] = rights or ("read", "start", "change")
    return Person(name, frozenset((dag_id, right) for dag_id in dags for right in given), f"token-of-{name}")


class FakeLogin:
    """An :class:`include.media_pages.login.Login`; ``people`` are those whose cookie is taken, by its value."""

    def __init__(self, *people: Person) -> None:
        self.people = {one.name: one for one in people or (person(),)}

    async def person(self, connection: HTTPConnection) -> Person | None:
        return self.people.get(connection.cookies.get(COOKIE, ""))

    def address(self, back: str) -> str:
        return f"/auth/login?next={quote(back, safe='')}"
