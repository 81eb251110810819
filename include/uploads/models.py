"""An upload as the workflow, its writers and the API see it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PlainValidator

from include.settings import UPLOADS_PREFIX

__all__ = [
    "Destination",
    "DestinationType",
    "Joined",
    "Landed",
    "Outcome",
    "Part",
    "Privacy",
    "Problem",
    "Status",
    "Upload",
    "UploadPlan",
    "UploadReference",
]

DestinationType = Literal["youtube", "s3Bucket"]
Status = Literal["waiting", "upload", "transcoding", "failed", "complete"]
Privacy = Literal["private", "unlisted", "public"]

# Failed comes before complete: of two processes that tell of the end, the one that has succeeded is right.
_ORDER: tuple[Status, ...] = ("waiting", "upload", "transcoding", "failed", "complete")


def _bits_of(value: object) -> frozenset[int]:
    if isinstance(value, str):
        bits = int(value or "0", 16)
        return frozenset(n for n in range(bits.bit_length()) if bits >> n & 1)
    if isinstance(value, (set, frozenset, tuple, list)):
        return frozenset(int(n) for n in value)
    raise ValueError("must be a set of numbers, or its bits in hexadecimal")


def _hex_of(numbers: frozenset[int]) -> str:
    bits = bytearray(max(numbers, default=0) // 8 + 1)
    for n in numbers:
        bits[n // 8] |= 1 << n % 8
    return f"{int.from_bytes(bits, 'little'):x}"


# An item of DynamoDB holds 400 KB: ten thousand parts are 2.5 KB as bits.
PartNumbers = Annotated[frozenset[int], PlainValidator(_bits_of), PlainSerializer(_hex_of, return_type=str)]


class Document(BaseModel):
    """Base of what is kept of an upload: immutable, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class UploadReference(Document):
    """Names an upload: the conf of its run in the DAG ``upload``."""

    atom_id: str = Field(description="Atom that the upload belongs to.", pattern=r"^[A-Za-z0-9_-]{1,64}$")
    upload_id: str = Field(description="Id of the upload.", pattern=r"^[0-9a-z]{1,32}$")
    client: str = Field(description="Client whose upload it is.", min_length=1, max_length=200)
    filename: str = Field("", description="Name of the file, for people who look at the run.", max_length=255)

    @property
    def prefix(self) -> str:
        """Prefix of everything that the upload keeps in S3."""
        return f"{UPLOADS_PREFIX}{self.atom_id}/{self.upload_id}/"

    @property
    def parts_prefix(self) -> str:
        """Prefix of its parts."""
        return f"{self.prefix}parts/"

    @property
    def full_key(self) -> str:
        """Key of the file that its parts are joined into."""
        return f"{self.prefix}full"

    @property
    def tags_key(self) -> str:
        """Key of the list of the parts' ETags as they were joined, JSON."""
        return f"{self.prefix}tags.json"

    @property
    def run_id(self) -> str:
        """Id of its run in the DAG ``upload``."""
        return f"upload__{self.upload_id}"


class Part(Document):
    """A range of the file that is an object of its own; ``end`` is exclusive."""

    n: int
    start: int
    end: int
    key: str
    complete: bool = False
    error: str | None = None

    @property
    def size(self) -> int:
        """Bytes that it has to have."""
        return self.end - self.start


class Destination(Document):
    """How far an upload has come at one of its destinations; ``progress`` is 0 to 100 within the status."""

    type: DestinationType
    status: Status = "waiting"
    progress: float = 0.0
    details: str | None = None
    error: str | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more happens there."""
        return self.status in {"complete", "failed"}

    def reopened(self) -> Destination:
        """Return what it is once its upload's run is started again: a failure is forgotten."""
        return Destination(type=self.type) if self.status == "failed" else self

    def advanced(
        self, status: Status, progress: float = 0.0, *, details: str | None = None, error: str | None = None
    ) -> Destination:
        """Return the next state: a status never goes back, and neither does progress within it; ``None`` keeps the details.

        What would go back is ignored: of two writers the one that knows more is right.
        """
        rank = _ORDER.index(status) - _ORDER.index(self.status)
        if rank < 0:
            return self
        reached = round(min(100.0, max(0.0, progress)), 2)
        return Destination(
            type=self.type,
            status=status,
            progress=100.0 if status == "complete" else reached if rank > 0 else max(reached, self.progress),
            details=self.details if details is None else details,
            error=(error or self.error) if status == "failed" else None,
        )


class Landed(Document):
    """Which parts are there; of those with a wrong size, what is wrong with them."""

    complete: PartNumbers = frozenset()
    errors: dict[int, str] = Field(default_factory=dict)
    changed_at: float = Field(0.0, description="When a part came last, epoch seconds; 0: none came yet.")


class Joined(Document):
    """How far the joining of the parts has come."""

    multipart_id: str | None = Field(None, description="S3's id of the copy at work.")
    done: bool = Field(False, description="The file is there and checked.")
    etag: str | None = None


class Problem(Document):
    """Why an upload fails as a whole."""

    code: str
    message: str


class Outcome(Document):
    """What became of an upload, and when (epoch seconds); of one that is running: when it was started again."""

    state: Literal["running", "complete", "failed", "aborted"] = "running"
    at: float = 0.0
    problem: Problem | None = None


class UploadPlan(Document):
    """What is settled when an upload is created, and never changes."""

    client: str
    filename: str
    size: int
    part_size: int
    destinations: tuple[DestinationType, ...]
    bucket: str = Field(description="Where the parts go.")
    region: str
    created_at: float
    title: str
    description: str = ""
    tags: tuple[str, ...] = ()
    privacy: Privacy = "private"
    channel: str | None = None
    sha256: str | None = None


class Upload(UploadPlan):
    """An upload: its plan, and each part of its state, which has one kind of writer."""

    atom_id: str
    id: str
    landed: Landed = Landed()
    at: dict[DestinationType, Destination] = Field(default_factory=dict)
    joined: Joined = Joined()
    outcome: Outcome = Outcome()

    @property
    def reference(self) -> UploadReference:
        """What names this upload."""
        return UploadReference(atom_id=self.atom_id, upload_id=self.id, client=self.client)

    @property
    def part_count(self) -> int:
        """How many parts there are."""
        return -(-self.size // self.part_size)

    @property
    def is_over(self) -> bool:
        """Whether it has ended, or cannot but fail."""
        return self.outcome.state != "running"

    @property
    def parts(self) -> tuple[Part, ...]:
        """Return all parts in the file's order."""
        return tuple(self._parts())

    def part(self, n: int) -> Part:
        """Return part ``n``, from 0; ``IndexError`` where there is none."""
        if not 0 <= n < self.part_count:
            raise IndexError(n)
        start = n * self.part_size
        return Part(
            n=n,
            start=start,
            end=min(self.size, start + self.part_size),
            key=f"{self.reference.parts_prefix}{n}",
            # Joined parts are deleted, which the tracking of parts may see.
            complete=self.joined.done or n in self.landed.complete,
            error=None if self.joined.done else self.landed.errors.get(n),
        )

    def _parts(self) -> Iterator[Part]:
        return (self.part(n) for n in range(self.part_count))
