"""Profiles of contract 3: those that all have, those that a client has made, and their routes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Annotated, Any

from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends, Request
from pydantic import ValidationError

from include.errors import ObjectExists, OutputNotSupported, ParameterError
from include.ffmpeg_ops import tools
from include.ffmpeg_ops.compatibility import check_profile
from include.ffmpeg_ops.encodings import TaskProfile
from include.ffmpeg_ops.named_profiles import named_profile, shipped_profiles
from include.media_api.gateway import AirflowGateway
from include.media_api.services import ServicesDependency, body_documentation, json_body
from include.media_api.signing import SignedClient
from include.media_api.task_errors import Refusal
from include.media_api.task_models import LONGEST_NAME, Profile, ProfileList
from include.media_api.task_paths import PROFILE, PROFILES, Version, answers
from include.media_store.tables import Tables
from include.settings import Settings
from include.worker.task_request import task_run_prefix

__all__ = ["TablesDependency", "check", "find_profile", "router"]

log = logging.getLogger(__name__)

MOST_PROFILES = 500  # of a client: the list is one answer

router = APIRouter(tags=["profiles"], dependencies=[Depends(Version)])


def _tables(request: Request) -> Tables:
    tables: Tables = request.app.state.tables
    return tables


TablesDependency = Annotated[Tables, Depends(_tables)]


@router.get(PROFILES, responses=answers(400))
async def list_profiles(client: SignedClient, tables: TablesDependency) -> ProfileList:
    """List the profiles that everybody has, and the client's own."""
    documents = await run_sync(tables.list_profiles, client)
    own = [Profile.of(profile, own=True) for profile in map(_readable, documents) if profile]
    return ProfileList(profiles=(*(Profile.of(profile, own=False) for profile in shipped_profiles().values()), *own))


@router.get(PROFILE + "/{profile_name}", responses=answers())
async def show_profile(client: SignedClient, tables: TablesDependency, profile_name: str) -> Profile:
    """Show a profile; a generic name is shown as what it comes to."""
    profile = await run_sync(find_profile, tables, client, profile_name)
    return Profile.of(profile, own=named_profile(profile_name) is None)


@router.post(PROFILE, responses=answers(400), openapi_extra=body_documentation(TaskProfile))
async def create_profile(
    client: SignedClient,
    services: ServicesDependency,
    tables: TablesDependency,
    profile: Annotated[TaskProfile, Depends(json_body(TaskProfile))],
) -> Profile:
    """Make a profile of the client's own; the same one again is no error."""
    await run_sync(_create, services.settings, tables, client, profile)
    return Profile.of(profile, own=True)


@router.delete(PROFILE + "/{profile_name}", responses=answers(400))
async def delete_profile(
    client: SignedClient, services: ServicesDependency, tables: TablesDependency, profile_name: str
) -> Profile:
    """Delete a profile of the client's own that no waiting or running task uses."""
    profile = await run_sync(find_profile, tables, client, profile_name)
    if named_profile(profile_name) is not None:
        raise ParameterError(f"profile_name: {profile_name} is everybody's; only profiles of your own can be deleted.")
    await services.starts.settle(task_run_prefix(client))
    if await _is_in_use(services.gateway, client, profile_name):
        raise Refusal(
            400, "ProfileNotEmpty", f"Tasks that wait or run use the profile {profile_name}; delete it when they are over."
        )
    await run_sync(tables.delete_profile, client, profile_name)
    return Profile.of(profile, own=True)


def find_profile(tables: Tables, client: str, name: str) -> TaskProfile:
    """Return the profile that ``name`` means to ``client``; a :class:`Refusal` where it has none of that name."""
    profile = named_profile(name)
    if profile is not None:
        return profile
    # DynamoDB takes no longer key for a question, either.
    document = tables.get_profile(client, name) if 0 < len(name) <= LONGEST_NAME else None
    profile = _readable(document) if document else None
    if profile is None:
        raise Refusal(404, "NoSuchProfile", "There is no profile of this name; GET the list of profiles to see yours.")
    return profile


def _readable(document: Mapping[str, Any]) -> TaskProfile | None:
    try:
        return TaskProfile.model_validate(document)
    except ValidationError as error:
        log.warning("The profile %s is as good as absent: %s", document.get("profile_name"), error)
        return None


def check(profile: TaskProfile, settings: Settings) -> None:
    """Raise a :class:`Refusal` where the profile contradicts itself, or is more than this server's ffmpeg can do."""
    try:
        check_profile(profile, tools.encoders(settings))
    except (ParameterError, OutputNotSupported) as error:
        raise Refusal(400, error.code, error.message) from error


def _create(settings: Settings, tables: Tables, client: str, profile: TaskProfile) -> None:
    name = profile.profile_name
    if named_profile(name) is not None:
        raise Refusal(400, "ProfileExists", f"The name {name} is taken by a profile that everybody has; choose another.")
    check(profile, settings)
    there = tables.get_profile(client, name)
    if there is not None and _readable(there) is None:
        # Of another version: nobody sees it, so it is in nobody's way.
        tables.delete_profile(client, name)
    elif there is None and len(tables.list_profiles(client)) >= MOST_PROFILES:
        raise ParameterError(f"You have {MOST_PROFILES} profiles, which is the most; delete one first.")
    try:
        tables.add_profile(client, name, profile.model_dump(mode="json"))
    except ObjectExists as error:
        raise Refusal(400, "ProfileExists", f"You have another profile of the name {name}; delete it first.") from error


async def _is_in_use(gateway: AirflowGateway, client: str, name: str) -> bool:
    cursor: str | None = None
    while True:
        page = await gateway.page(task_run_prefix(client), states=("queued", "running"), cursor=cursor)
        if any(run.conf.get("profile_name") == name for run in page.runs):
            return True
        if page.cursor is None:
            return False
        cursor = page.cursor
