"""Contract 1 (`videoTranscode`): its request, and what a source folder means as single transcodes.

Shared by the API, which answers with the list, and by the dispatcher DAG, which submits it, so both see the same.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from include.errors import LimitExceeded, NotFound, ParameterError
from include.media_store.models import ObjectRef
from include.settings import Settings
from include.worker.requests import TranscodeRequest, check_key, check_text, split_key
from include.worker.watched_folders import check_not_watched, is_watched

if TYPE_CHECKING:
    # The DAGs import this module, and parsing them must not wait for the AWS SDK.
    from include.media_store.objects import ObjectStore

__all__ = ["Element", "VideoTranscodeRequest", "element_of", "existing_keys", "resolve"]

SKIPPED_SUFFIXES = (".png", ".jpg", ".m3u8", ".txt")
TIME = r"[0-9A-Za-z_-]{1,32}"

# Keys looked at in one folder, as a multiple of the files it may name: a bound on listing what is skipped silently.
_SCAN_FACTOR = 100
# Outputs are looked for in so many listed keys first, then one by one: an HLS folder holds thousands of segments.
_LISTED_KEYS = 2000
_HEADS_AT_ONCE = 16
# The longest key and the longest file name that packaging derives from a name, in bytes of UTF-8.
_MAX_KEY_BYTES = 1024 - len("hls0800k/00000.ts")
_MAX_NAME_BYTES = 255 - len("-storyboard-00000.jpg")


def _whole_number(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r"\s*[0-9]{1,18}\s*", value, re.ASCII):
        return int(value)
    if value is None or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise ValueError("must be a whole number, or a string of digits")


class VideoTranscodeRequest(BaseModel):
    """The body of `POST /prod/videoTranscode`; fields that the contract does not know are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    bucket: str = Field(description="Bucket of both `src` and `dst`.", min_length=1, examples=["ottcloud"])
    src: str = Field(
        description="A folder (ends with `/`, read recursively) or one `.mp4` file.",
        max_length=1024,
        examples=["publicspace/videos/src/2016.04.20/"],
    )
    dst: str = Field(
        description="Folder of the outputs; ends with `/`.", max_length=800, examples=["publicspace/videos/dst/test/"]
    )
    time: str = Field(description="Version of the output; part of its path.", pattern=f"^{TIME}$", examples=["20160426000001"])
    type: Literal["mp4", "m3u8"] = Field(description="One MP4, or an HLS ladder.")
    contentprovider: str | None = Field(
        None, description="Content provider's name, shown on the run.", max_length=200, examples=["publicspace"]
    )
    testflag: Literal["no", "test"] = Field(
        "test", description="`no` is a real run; anything else, or nothing, lists what a real run would do."
    )
    v_bitrate: int | None = Field(
        None, description="Bit rate of the sources, bit/s; left out: each file is probed.", gt=0, le=10**11, examples=[2700000]
    )
    v_height: Literal[480, 720, 1080] | None = Field(
        None, description="Height of the sources (1088 is taken as 1080); left out: each file is probed.", examples=[720]
    )

    callback_url: str | None = Field(
        None,
        description="Where events of each video's run are sent to, signed (docs/webhooks.md).",
        min_length=1,
        max_length=2048,
        examples=["https://ott.example/reelflow"],
    )

    @field_validator("testflag", mode="before")
    @classmethod
    def _anything_but_no_is_a_test(cls, value: Any) -> str:
        return "no" if value == "no" else "test"

    @field_validator("v_bitrate", mode="before")
    @classmethod
    def _read_bitrate(cls, value: Any) -> Any:
        return _whole_number(value)

    @field_validator("v_height", mode="before")
    @classmethod
    def _read_height(cls, value: Any) -> Any:
        number = _whole_number(value)
        if number not in {None, 480, 720, 1080, 1088}:
            raise ValueError("must be 480, 720 or 1080 (1088 is taken as 1080), or be left out so that each file is probed")
        return 1080 if number == 1088 else number

    @field_validator("src")
    @classmethod
    def _check_src(cls, value: str) -> str:
        if not value.strip("/ "):
            raise ValueError("must name a folder (ending with '/') or one .mp4 file; a whole bucket is refused")
        return check_key(value)

    @field_validator("dst")
    @classmethod
    def _check_dst(cls, value: str) -> str:
        if not value.endswith("/"):
            raise ValueError("must be a folder: end it with '/'")
        if value.startswith("/"):
            raise ValueError("must not start with '/'")
        return check_key(value)

    @field_validator("contentprovider")
    @classmethod
    def _check_provider(cls, value: str | None) -> str | None:
        return value if value is None else check_text(value)

    @property
    def is_test(self) -> bool:
        """Whether nothing may be submitted."""
        return self.testflag != "no"

    @property
    def is_folder(self) -> bool:
        """Whether ``src`` names a folder."""
        return self.src.endswith("/")


@dataclass(frozen=True)
class Element:
    """One source file of a request, and what is to be done with it."""

    status: Literal["transcode", "exist", "not_mp4", "refused"]
    src: str
    request: TranscodeRequest | None = None  # of `transcode` and `exist`
    source: ObjectRef | None = None  # of `transcode` and `exist`
    error: str | None = None  # of `refused`: why


def resolve(
    store: ObjectStore, settings: Settings, request: VideoTranscodeRequest, client: str | None = None
) -> tuple[Element, ...]:
    """Return the source files of ``request`` in key order, without those that the contract skips silently.

    Raises :class:`NotFound` (bucket, or the one file), :class:`ParameterError` and :class:`LimitExceeded`.
    """
    if not settings.allows_bucket(request.bucket) or not store.bucket_exists(request.bucket):
        raise NotFound(f"bucket: there is no bucket {request.bucket!r} here that requests may name.")
    for field, value in (("src", request.src), ("dst", request.dst)):
        if value.startswith(settings.work_prefix):
            raise ParameterError(f"{field}: {settings.work_prefix!r} is kept for work in progress; choose another folder.")
    check_not_watched(settings, "dst", request.bucket, request.dst)
    sources = _folder(store, settings, request) if request.is_folder else [_file(store, settings, request)]
    elements = (_outside_of_watched(settings, element_of(settings, request, client, source)) for source in sources)
    return _with_existing(store, request, _distinct(elements))


def existing_keys(store: ObjectStore, bucket: str, keys: Iterable[str]) -> set[str]:
    """Return those of ``keys`` that exist: many by listing their common prefix while that is short, else one by one."""
    wanted = set(keys)
    found: set[str] = set()
    rest = sorted(wanted)
    if len(wanted) > _HEADS_AT_ONCE:
        prefix = os.path.commonprefix(rest)  # noqa: RUF071  (key prefixes end anywhere)
        listed = list(islice(store.list(bucket, prefix), _LISTED_KEYS + 1))
        found = wanted.intersection(ref.key for ref in listed)
        rest = sorted(wanted - found) if len(listed) > _LISTED_KEYS else []
    if rest:
        with ThreadPoolExecutor(min(_HEADS_AT_ONCE, len(rest))) as pool:
            found.update(key for key, ref in zip(rest, pool.map(lambda key: store.head(bucket, key), rest), strict=True) if ref)
    return found


def _accepts(settings: Settings, key: str) -> bool:
    return key.lower().endswith(tuple(suffix.lower() for suffix in settings.source_suffixes))


def _is_skipped(key: str) -> bool:
    return key.endswith("/") or key.lower().endswith(SKIPPED_SUFFIXES) or not split_key(key)[1]


def _file(store: ObjectStore, settings: Settings, request: VideoTranscodeRequest) -> ObjectRef:
    if not _accepts(settings, request.src) or not split_key(request.src)[1]:
        accepted = ", ".join(settings.source_suffixes)
        raise ParameterError(f"src: not .mp4: name a folder (ending with '/') or one file that ends with {accepted}.")
    source = store.head(request.bucket, request.src)
    if source is None:
        raise NotFound(f"src: there is no object {request.src!r} in bucket {request.bucket!r}.")
    return source


def _folder(store: ObjectStore, settings: Settings, request: VideoTranscodeRequest) -> list[ObjectRef]:
    cap = settings.max_files_per_request
    too_many = LimitExceeded(
        f"src: the folder {request.src!r} holds more than {cap} files, the most that one request may name "
        "(MEDIA_MAX_FILES_PER_REQUEST); name its subfolders one by one."
    )
    found: list[ObjectRef] = []
    # Outputs that lie among the sources must not become sources. In a folder of their own they are easily told; where
    # source and output folders are mixed all must be known first.
    outputs_apart = request.dst.startswith(request.src) and request.dst != request.src
    mixed = request.src.startswith(request.dst)
    for number, ref in enumerate(store.list(request.bucket, request.src)):
        if number >= cap * _SCAN_FACTOR or (len(found) > cap and not mixed):
            raise too_many
        is_work = ref.key.startswith(settings.work_prefix)
        if not (is_work or _is_skipped(ref.key) or (outputs_apart and ref.key.startswith(request.dst))):
            found.append(ref)
    if mixed:
        found = list(_without_outputs(settings, request, found))
    if len(found) > cap:
        raise too_many
    return sorted(found, key=lambda ref: ref.key)


def _without_outputs(settings: Settings, request: VideoTranscodeRequest, found: list[ObjectRef]) -> Iterator[ObjectRef]:
    """Leave out what lies in a folder ``<name>_<time>/`` where the source ``<name>`` of such an output is present."""
    sources = {split_key(ref.key)[:2] for ref in found if _accepts(settings, ref.key)}

    def is_output(key: str) -> bool:
        folders = key[len(request.dst) :].split("/")[:-1]
        for depth, folder in enumerate(folders):
            source_folder = request.src + "".join(f"{name}/" for name in folders[:depth])
            for match in re.finditer("_", folder):
                stem, time = folder[: match.start()], folder[match.end() :]
                if re.fullmatch(TIME, time) and (source_folder, stem) in sources:
                    return True
        return False

    return (ref for ref in found if not is_output(ref.key))


def element_of(settings: Settings, request: VideoTranscodeRequest, client: str | None, source: ObjectRef) -> Element:
    """Return what ``request`` makes of one of its sources, whether or not its output exists."""
    if not _accepts(settings, source.key):
        return Element("not_mp4", source.key)
    if source.size > settings.max_source_bytes:
        limit = f"{settings.max_source_bytes} bytes, the largest that is accepted (MEDIA_MAX_SOURCE_BYTES)"
        return Element("refused", source.key, error=f"The source has {source.size} bytes, more than {limit}.")
    if source.size == 0:
        return Element("refused", source.key, error="The source is empty (0 bytes).")
    folder, stem, _ = split_key(source.key)
    keyoutpath = request.dst + folder[len(request.src) :] if request.is_folder else request.dst
    output_folder = f"{keyoutpath}{stem}_{request.time}/"
    if len(stem.encode()) > _MAX_NAME_BYTES or len((output_folder + stem).encode()) > _MAX_KEY_BYTES:
        return Element("refused", source.key, error="The output's key would be too long for S3; use a shorter name or dst.")
    try:
        check_key(source.key)
        transcode = TranscodeRequest(
            bucket=request.bucket,
            source_key=source.key,
            folder=output_folder,
            name=stem,
            container="mp4" if request.type == "mp4" else "hls",
            source_bit_rate=request.v_bitrate,
            source_height=request.v_height,
            content_provider=request.contentprovider,
            client=client,
        )
    except ValueError as error:
        why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else f"it {error}"
        return Element("refused", source.key, error=f"The name cannot be used: {why}.")
    return Element("transcode", source.key, transcode, source)


def _outside_of_watched(settings: Settings, element: Element) -> Element:
    """Refuse what a subfolder of the sources has brought below a watched folder, though ``dst`` is none."""
    if element.request is None or not is_watched(settings, element.request.bucket, element.request.folder):
        return element
    return Element(
        "refused", element.src, error="Its output would lie in a folder whose new objects start runs; use another dst."
    )


def _distinct(elements: Iterable[Element]) -> Iterator[Element]:
    first: dict[str, str] = {}
    for element in elements:
        destination = element.request and element.request.destination_key
        if destination and first.setdefault(destination, element.src) != element.src:
            yield Element("refused", element.src, error=f"Its output would be the same as that of {first[destination]!r}.")
        else:
            yield element


def _with_existing(store: ObjectStore, request: VideoTranscodeRequest, elements: Iterable[Element]) -> tuple[Element, ...]:
    elements = tuple(elements)
    destinations = [element.request.destination_key for element in elements if element.request]
    existing = existing_keys(store, request.bucket, destinations)
    return tuple(
        Element("exist", element.src, element.request, element.source)
        if element.request and element.request.destination_key in existing
        else element
        for element in elements
    )
