"""Every setting of Reelflow, in one typed class.

A setting is read from the environment variable ``MEDIA_<NAME>`` (or from ``.env`` in the working directory); AWS
credentials, region and endpoint come from the SDK's own variables (``AWS_ENDPOINT_URL``, ``AWS_PROFILE``, …) and are not
repeated here. ``python -m include.settings`` prints the table of ``docs/settings.md``.
"""

from __future__ import annotations

import os
import re
import tempfile
from base64 import b64decode
from collections.abc import Callable
from functools import lru_cache
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

__all__ = ["Settings", "SigningKey", "get_settings", "render_table"]

ApiKeys = Annotated[dict[str, SecretStr], NoDecode]
UPLOADS_PREFIX = "uploads/"  # contract 4's own
_FOLDER = r"[^/].*/"
UnitKind = Literal["plan", "video", "audio", "finish", "split", "upscale", "merge", "live"]


class SigningKey(BaseModel):
    """A pair of keys of a client of contract 3."""

    model_config = ConfigDict(frozen=True)

    client: str
    public_key: str
    private_key: SecretStr


class Settings(BaseSettings):
    """Settings of one process; sizes in bytes, times in seconds unless the name says otherwise."""

    model_config = SettingsConfigDict(
        env_prefix="MEDIA_", env_file=".env", extra="ignore", frozen=True, hide_input_in_errors=True
    )

    # -- access
    api_keys: ApiKeys = Field(
        default_factory=dict,
        description="Clients of contracts 1, 2 and 4 as `client:key,client2:key2`; the key is sent as `x-api-key`.",
    )
    signing_keys: Annotated[tuple[SigningKey, ...], NoDecode] = Field(
        (),
        description="Keys of contract 3 as `clientCode:publicKey:privateKey`, comma separated; a client may have several.",
    )
    signing_seconds: int = Field(300, gt=0, description="How far `apiExecTime` of a signed request may be from now.")
    signing_strict: bool = Field(
        False, description="Refuse signed requests without `apiSignature`, which also covers method, path and body."
    )
    airflow_user: str = Field("admin", description="Airflow user in whose name the APIs trigger and read runs.")

    # -- storage
    bucket: str = Field("media", description="Bucket that is used where a request names none.")
    buckets: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Buckets that requests may name, comma separated; empty: only `MEDIA_BUCKET`."
    )
    work_prefix: str = Field("_reelflow/", description="Key prefix of work documents and chunk files in a job's bucket.")
    keep_work_files: bool = Field(False, description="Keep chunk files in S3 after a run has succeeded.")
    cache_dir: Path = Field(
        Path(tempfile.gettempdir()) / f"reelflow-{os.getuid()}",
        description="Local cache of objects and scratch space of running units.",
    )
    cache_max_bytes: int = Field(20 * 2**30, gt=0, description="The cache is trimmed to this size, oldest use first.")

    nonces_table: str = Field("media-nonces", description="DynamoDB table of nonces of signed requests.")
    profiles_table: str = Field("media-profiles", description="DynamoDB table of profiles that clients have made.")

    # -- network
    allowed_networks: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Networks beside the public internet that sources, targets and callbacks may be in, comma separated "
        "(`10.1.0.0/16,127.0.0.1/32`); empty: none.",
    )
    max_redirects: int = Field(5, ge=0, description="Most redirects of an HTTP source; each is checked as the first address is.")
    connect_seconds: float = Field(10.0, gt=0, description="Time to connect to a source, a target or a callback.")
    stall_seconds: float = Field(
        30.0, gt=0, description="A source or a target that neither sends nor takes data for this long counts as lost."
    )

    # -- tasks and live streams
    task_profile: str = Field(
        "video_mp4_1280x720_1728kbps", description="Profile of a transcoding task that names none (contract 3)."
    )
    max_targets: int = Field(10, gt=0, description="Most targets of one task.")
    live_seconds: int = Field(12 * 3600, gt=0, description="Deadline of a live task.")
    live_slots: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        gt=0,
        description="Live tasks at once: slots of the Airflow pool `media_live`; each takes an encoder's processor time.",
    )
    live_reconnect_seconds: float = Field(
        60.0, ge=0, description="A live source that is lost is sought for this long, and a lost target too."
    )

    # -- uploads
    upload_bucket: str = Field("", description="Bucket of uploads; empty: `MEDIA_BUCKET`.")
    uploads_table: str = Field("media-uploads", description="DynamoDB table of the progress of uploads.")
    upload_part_size: int = Field(
        100 * 2**20,
        ge=5 * 2**20,
        le=5 * 2**30,
        multiple_of=256 * 2**10,
        description="Size of an upload's parts, bytes: a multiple of 256 KiB, raised for files of more than 10,000 parts.",
    )
    upload_max_bytes: int = Field(256 * 2**30, gt=0, description="Largest upload.")
    upload_role_arn: str = Field(
        "arn:aws:iam::123456789012:role/uploader",
        description="Role that an upload's credentials are of: it may write parts; a session policy narrows that to one upload.",
    )
    upload_endpoint_url: str = Field(
        "", description="Address of S3 as clients of uploads reach it; empty: as this machine does (`AWS_ENDPOINT_URL`)."
    )
    upload_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Origins of web pages that may call the uploads' API, comma separated (`https://a.example`); empty: none."
    )
    upload_credential_seconds: int = Field(900, ge=900, le=43200, description="Life of an upload's credentials and part URLs.")
    upload_part_timeout_seconds: int = Field(20 * 60, gt=0, description="An upload of which no part comes for this long fails.")
    upload_poll_seconds: float = Field(2.0, gt=0, description="Time between two looks for parts of an upload.")
    upload_queue_url: str = Field("", description="SQS queue of S3's events about parts; empty: parts are looked for.")
    youtube_connection: str = Field(
        "youtube_default", description="Airflow connection with YouTube's OAuth client and refresh token."
    )
    youtube_url: str = Field("https://www.googleapis.com", description="Address of YouTube's API.")

    # -- ingest
    ingest_transcode_prefixes: Annotated[tuple[str, ...], NoDecode] = Field(
        ("incoming/transcode/",),
        description="Folders of `MEDIA_BUCKET` whose new objects are transcoded, comma separated; empty: none.",
    )
    ingest_sr_prefixes: Annotated[tuple[str, ...], NoDecode] = Field(
        ("incoming/super_resolution/",),
        description="Folders of `MEDIA_BUCKET` whose new objects are upscaled, comma separated; empty: none.",
    )
    ingest_output: str = Field(
        "published/", description="Folder of what is made of dropped objects, where their sidecars name none; never looked into."
    )
    ingest_finished: Literal["move", "tag", "keep"] = Field(
        "move",
        description="What becomes of a dropped object once its run has succeeded: moved below `MEDIA_INGEST_FINISHED_FOLDER`, "
        "tagged `reelflow:state`, or kept as it is.",
    )
    ingest_finished_folder: str = Field("finished/", description="Folder that finished objects are moved to; never looked into.")
    ingest_settle_seconds: float = Field(
        10.0, ge=0, description="An object that has changed within this time may still be written, or its sidecar may still come."
    )
    ingest_poll_seconds: float = Field(5.0, gt=0, description="Time between two looks for dropped objects.")
    ingest_active: int = Field(
        8,
        ge=1,
        le=15,
        description="Most runs of dropped objects at once, of the 16 that a DAG may have; the others wait in their folders.",
    )
    ingest_queue_url: str = Field(
        "",
        description="SQS queue of S3's events about dropped objects, which has a dead-letter queue; empty: they are looked for.",
    )
    ingest_queue_poll_seconds: float = Field(5.0, gt=0, description="Time between two looks whether messages are in that queue.")

    # -- media pages
    pages_client: str = Field(
        "operators", min_length=1, max_length=200, description="Client in whose name the media pages start jobs and upload."
    )
    pages_address_seconds: int = Field(
        12 * 3600,
        ge=600,
        le=7 * 24 * 3600,
        description="Life of the addresses at which the media pages show pictures and films: longer than a film takes to watch.",
    )

    # -- webhooks
    webhook_secrets: ApiKeys = Field(
        default_factory=dict,
        description="Secrets that callbacks are signed with (Standard Webhooks), as `client:whsec_…,client2:whsec_…`.",
    )
    webhook_seconds: float = Field(10.0, gt=0, description="Shortest time between two progress events of a run.")
    webhook_attempts: int = Field(8, gt=0, description="Attempts to deliver the event that a run has ended.")

    # -- being told
    notify_sns_topic: str = Field("", description="ARN of an SNS topic that is told how runs end; empty: none.")
    notify_email: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="E-mail addresses that are told how runs end, comma separated, through Airflow's connection `smtp_default`; "
        "empty: none.",
    )
    notify_on: Literal["failure", "success", "both"] = Field("failure", description="Which ends of runs are told.")
    alert_seconds: Annotated[dict[str, PositiveInt], NoDecode] = Field(
        default_factory=dict,
        description="A run that is at work for longer is told while it runs, as `dag:seconds,dag2:seconds` "
        "(`transcode:7200,upload:172800`); DAGs that are not named: never.",
    )
    alert_lengths: float = Field(
        0.0, ge=0, description="So many times its film's length a run may take, too, before it counts as too long."
    )

    # -- limits
    max_files_per_request: int = Field(1000, gt=0, description="Most files one folder request may name.")
    max_source_bytes: int = Field(50 * 2**30, gt=0, description="Largest source object.")
    max_source_seconds: int = Field(12 * 3600, gt=0, description="Longest source.")
    max_source_pixels: int = Field(8192 * 4320, gt=0, description="Largest source picture, width times height.")
    max_source_streams: int = Field(64, gt=0, description="Most streams in a source.")
    source_suffixes: Annotated[tuple[str, ...], NoDecode] = Field(
        (".mp4",), description="File name suffixes that contract 1 accepts, comma separated (e.g. `.mp4,.mov,.mkv`)."
    )

    # -- encoding
    ffmpeg: str = Field("ffmpeg", description="The ffmpeg program.")
    ffprobe: str = Field("ffprobe", description="The ffprobe program.")
    x264_preset: (
        Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"] | None
    ) = Field(None, description="x264 preset that overrides the profiles' own.")
    hls_segment_type: Literal["mpegts", "fmp4"] = Field("mpegts", description="Container of HLS segments.")
    damage_policy: Literal["strict", "salvage"] = Field(
        "strict", description="`strict` fails on damaged sources; `salvage` keeps every frame that can be decoded."
    )
    verify_decode: Literal["keyframes", "full"] = Field(
        "keyframes", description="What verification decodes of each rendition before it is published."
    )
    quality: bool = Field(True, description="Measure PSNR and SSIM (and VMAF where ffmpeg has it) on samples of each chunk.")

    # -- super-resolution
    sr_backend: Literal["auto", "openvino", "cuda", "neuron", "neuronx", "torch"] = Field(
        "auto", description="What networks run on; `auto`: a Neuron device, CUDA, else the processor, what is there."
    )
    sr_compiled_dir: Path = Field(
        Path("var/compiled"),
        description="Folder of networks compiled for Neuron (`python -m include.sr_model compile`).",
    )
    sr_model: Literal["fast", "balanced", "quality"] = Field("fast", description="Network where a request names none.")
    sr_max_output_pixels: int = Field(
        3840 * 2160, gt=0, description="Largest upscaled picture, width times height; a larger one is refused."
    )
    sr_crf: float = Field(18, ge=0, le=51, description="Constant quality of upscaled video (x264's and x265's CRF).")
    sr_preset: Literal["ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow"] = Field(
        "veryfast", description="Encoder preset of upscaled video."
    )
    sr_slots: int = Field(
        1, gt=0, description="Segments that one machine upscales side by side; each of them uses all its processors."
    )
    sr_queue: str = Field(
        "",
        description="Queue of upscale units where Celery runs them, for workers with a GPU that listen to one of their own; "
        "empty: that of all tasks.",
    )

    # -- work units
    chunk_seconds: float = Field(30.0, gt=0, description="Wanted length of one encode unit.")
    max_units: int = Field(200, gt=0, le=1000, description="Most encode units of one run; longer films get longer chunks.")
    unit_slots: int = Field(
        default_factory=lambda: os.cpu_count() or 1,
        gt=0,
        description="Units that encode side by side; the Airflow pool `media_units` has one slot more, for audio.",
    )
    unit_timeout_seconds: int = Field(6 * 3600, gt=0, description="Deadline of one work unit.")
    unit_attempts: int = Field(3, gt=0, description="Attempts of one work unit where the error may be retried.")
    worker_command: str = Field(
        "",
        description="Command that runs a work unit in a local process (the unit's URI is appended); empty: this Python's "
        "`include.worker run`.",
    )

    # -- AWS Batch
    batch_units: Annotated[tuple[UnitKind, ...], NoDecode] = Field(
        (),
        description="Kinds of work units that run as AWS Batch jobs, comma separated (`upscale,video,audio,plan,finish,split,"
        "merge,live`); empty: all in local processes.",
    )
    batch_sr_queue_spot: str = Field("SuperResolution_queue_Spot", description="Job queue of upscaling on spot instances.")
    batch_sr_queue_on_demand: str = Field(
        "SuperResolution_queue_onDemand", description="Job queue of upscaling on instances that nobody reclaims."
    )
    batch_sr_job_definition: str = Field("SuperResolution", description="Job definition of upscaling (or `name:revision`).")
    batch_cpu_queue_spot: str = Field("Transcode_queue_Spot", description="Job queue of all other units on spot instances.")
    batch_cpu_queue_on_demand: str = Field(
        "Transcode_queue_onDemand", description="Job queue of all other units on instances that nobody reclaims."
    )
    batch_cpu_job_definition: str = Field("Transcode", description="Job definition of all other units.")
    batch_cpu_env: Literal["spot", "onDemand"] = Field(
        "spot", description="Kind of instance for units whose request names none (all but upscaling)."
    )
    batch_attempts: int = Field(
        3, ge=1, le=10, description="Attempts that Batch itself gives a job whose instance was taken away (`Host EC2*`)."
    )
    batch_spot_fallback: bool = Field(
        True, description="Move a job to the on-demand queue where spot has no room for it or takes its instances away too often."
    )
    batch_runnable_seconds: int = Field(
        900, ge=0, description="A spot job that is RUNNABLE longer than this moves to the on-demand queue; 0: never."
    )
    batch_queue_seconds: int = Field(
        12 * 3600, gt=0, description="A job that waits longer than this in its last queue is ended, and its unit fails."
    )
    batch_array_size: int = Field(
        0, ge=0, le=1000, description="Units of one kind that a mapped task hands to Batch as one array job; 0: a job each."
    )
    batch_poll_seconds: float = Field(10.0, gt=0, description="Time between two looks at all waiting jobs (one call per 100).")
    batch_slots: int = Field(200, gt=0, description="Jobs at once: slots of the Airflow pool `media_batch`.")
    batch_instances: Annotated[dict[str, str], NoDecode] = Field(
        default_factory=dict,
        description="Instance type of a queue's machines, as `queue:type,queue2:type` (`Transcode_queue_Spot:c6i.xlarge`), to "
        "count what jobs cost.",
    )
    batch_log_group: str = Field(
        "/reelflow/batch", description="CloudWatch log group of job definitions whose jobs do not name theirs."
    )

    @field_validator("api_keys", "webhook_secrets", mode="before")
    @classmethod
    def _split_pairs(cls, value: object, info: ValidationInfo) -> object:
        if not isinstance(value, str):
            return value
        return _pairs(value, f"MEDIA_{(info.field_name or '').upper()} wants client:key pairs")

    @field_validator("alert_seconds", mode="before")
    @classmethod
    def _split_seconds(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        pairs = _pairs(value, "MEDIA_ALERT_SECONDS wants dag:seconds pairs", is_value=str.isdecimal)
        return {dag: int(seconds) for dag, seconds in pairs.items()}

    @field_validator("batch_instances", mode="before")
    @classmethod
    def _split_instances(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return _pairs(value, "MEDIA_BATCH_INSTANCES wants queue:type pairs")

    @field_validator("signing_keys", mode="before")
    @classmethod
    def _split_signing_keys(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        keys = [item.split(":") for item in _items(value)]
        if any(len(parts) != 3 or not all(parts) for parts in keys):
            raise ValueError("MEDIA_SIGNING_KEYS wants clientCode:publicKey:privateKey, separated by commas")
        if len({(client, public) for client, public, _ in keys}) < len(keys):
            raise ValueError("MEDIA_SIGNING_KEYS holds the same clientCode and publicKey twice")
        return tuple(
            SigningKey(client=client, public_key=public, private_key=SecretStr(private)) for client, public, private in keys
        )

    @field_validator("webhook_secrets")
    @classmethod
    def _check_webhook_secrets(cls, value: dict[str, SecretStr]) -> dict[str, SecretStr]:
        for client, secret in value.items():
            try:
                size = len(b64decode(secret.get_secret_value().removeprefix("whsec_"), validate=True))
            except ValueError:
                size = 0
            if not 24 <= size <= 64:
                raise ValueError(f"MEDIA_WEBHOOK_SECRETS: that of {client} is no whsec_ and 24 to 64 bytes in base64")
        return value

    @field_validator(
        "buckets",
        "source_suffixes",
        "batch_units",
        "allowed_networks",
        "upload_origins",
        "notify_email",
        "ingest_transcode_prefixes",
        "ingest_sr_prefixes",
        mode="before",
    )
    @classmethod
    def _split_list(cls, value: object) -> object:
        return tuple(_items(value)) if isinstance(value, str) else value

    @field_validator("allowed_networks")
    @classmethod
    def _check_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            try:
                ip_network(network)
            except ValueError as error:
                raise ValueError(f"MEDIA_ALLOWED_NETWORKS: {error}") from error
        return value

    @field_validator("work_prefix")
    @classmethod
    def _check_work_prefix(cls, value: str) -> str:
        if not re.fullmatch(_FOLDER, value):
            raise ValueError(
                f"MEDIA_WORK_PREFIX wants a folder that ends with a slash and does not begin with one, not {value!r}"
            )
        return value

    @model_validator(mode="after")
    def _check_ingest(self) -> Settings:
        prefixes = self.ingest_prefixes
        for folder in (*prefixes, self.ingest_output, self.ingest_finished_folder):
            if not re.fullmatch(_FOLDER, folder):
                raise ValueError(f"ingest wants folders that end with a slash and do not begin with one, not {folder!r}")
        # What was made, or is in the making, must never be taken for something to begin with.
        kept_apart = (self.ingest_output, self.ingest_finished_folder, self.work_prefix, UPLOADS_PREFIX)
        for number, prefix in enumerate(prefixes):
            for other in (*prefixes[:number], *kept_apart):
                if prefix.startswith(other) or other.startswith(prefix):
                    raise ValueError(f"the folders {prefix!r} and {other!r} overlap: ingest would take what it has made")
        return self

    @property
    def ingest_prefixes(self) -> tuple[str, ...]:
        """Every folder whose new objects start runs."""
        return (*self.ingest_transcode_prefixes, *self.ingest_sr_prefixes)

    @property
    def pool_slots(self) -> int:
        """Slots of the pool ``media_units``: audio, which is light and goes first, must not hold up the first chunks."""
        return self.unit_slots + 1

    @property
    def segment_pool_slots(self) -> int:
        """Slots of that pool that a segment takes: so many that as many again as may compute get ready and wait."""
        return max(1, self.pool_slots // (2 * self.sr_slots))

    @property
    def pools(self) -> dict[str, tuple[int, str]]:
        """Airflow's pools: slots and description by name. Deferred tasks hold their slots."""
        return {
            "media_units": (self.pool_slots, "Media work units at once"),
            "media_batch": (self.batch_slots, "Jobs of AWS Batch at once"),
            "media_live": (self.live_slots, "Live tasks at once"),
        }

    @property
    def batch_queues(self) -> tuple[str, ...]:
        """Every queue that a job may be in, each once."""
        upscaling = (self.batch_sr_queue_spot, self.batch_sr_queue_on_demand)
        return tuple(dict.fromkeys((*upscaling, self.batch_cpu_queue_spot, self.batch_cpu_queue_on_demand)))

    def seconds_for(self, kind: str) -> int:
        """Return how long a unit of that kind may take."""
        # A stream has a deadline of its own; what is made of its recordings afterwards may take as long as any unit.
        return self.unit_timeout_seconds + (self.live_seconds if kind == "live" else 0)

    def allows_bucket(self, bucket: str) -> bool:
        """Tell whether requests may name ``bucket``."""
        return bucket in (self.buckets or (self.bucket,))


def _pairs(text: str, wanted: str, *, is_value: Callable[[str], bool] = bool) -> dict[str, str]:
    pairs = [item.partition(":") for item in _items(text)]
    if not all(name and is_value(value) for name, _, value in pairs):
        # The items may hold keys, so they are not repeated here.
        raise ValueError(f"{wanted}, separated by commas")
    found = {name: value for name, _, value in pairs}
    if len(found) < len(pairs):
        # Else the last one would hold, and nobody would know why the others do not.
        raise ValueError(f"{wanted}, and no name twice")
    return found


def _items(text: str) -> list[str]:
    return [item for item in (part.strip() for part in text.split(",")) if item]


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """Return the settings of this process, read once."""
    return Settings()


def render_table() -> str:
    """Return ``docs/settings.md``'s table: variable, default, meaning."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    machine_dependent = {
        "cache_dir": "a folder under the system's temporary one",
        "unit_slots": "number of processors",
        "live_slots": "number of processors",
    }
    for name, field in Settings.model_fields.items():
        default = machine_dependent.get(name)
        if default is None:
            value = field.get_default(call_default_factory=True, validated_data={})
            text = ",".join(value) if isinstance(value, tuple) else "" if value in (None, {}) else str(value)
            default = f"`{text}`" if text else "none"
        rows.append(f"| `MEDIA_{name.upper()}` | {default} | {field.description} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    print(render_table(), end="")
