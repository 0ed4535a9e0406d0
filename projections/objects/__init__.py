"""Objects: bytes by name. The adapters are reached through `open_objects` alone."""

from datetime import timedelta
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

from obstore.exceptions import BaseError
from obstore.store import LocalStore, S3Store

from projections.objects.adapter import ObstoreObjects
from projections.objects.port import NoSuchObject, Objects, ObjectsError, Stored

__all__ = ["NoSuchObject", "Objects", "ObjectsError", "Stored", "open_objects"]

#: No request has more than one part or chunk to bring, so one that takes longer is stuck.
REQUEST_WITHIN = timedelta(seconds=10)
RETRY_WITHIN = timedelta(seconds=20)

#: What an S3 URL may set; the rest comes from the usual variables, such as AWS_ACCESS_KEY_ID.
_S3_SETTINGS = (
    "endpoint",
    "region",
    "access_key_id",
    "secret_access_key",
    "session_token",
    "virtual_hosted_style_request",
)


def open_objects(url: str) -> Objects:
    """The objects at `file:///absolute/folder`, made if missing, or at
    `s3://bucket/prefix?endpoint=http://host:9000`.

    Raises:
        ValueError: another kind of URL.
        ObjectsError: the folder can't be used.
    """
    parts = urlsplit(url)
    settings = dict(parse_qsl(parts.query))
    if parts.scheme == "file" and not parts.netloc and parts.path and not parts.query:
        folder = Path(unquote(parts.path))
        try:
            store = LocalStore(folder, automatic_cleanup=True, mkdir=True)
        except (BaseError, OSError) as error:
            raise ObjectsError(f"{folder} can't be used as a folder") from error
        return ObstoreObjects(store, folder)
    if parts.scheme == "s3" and parts.netloc and settings.keys() <= {*_S3_SETTINGS}:
        bucket = S3Store(
            parts.netloc,
            prefix=unquote(parts.path).strip("/") or None,
            config=settings,  # type: ignore[arg-type]  # the keys were checked above
            client_options={
                "allow_http": settings.get("endpoint", "").startswith("http:"),
                "timeout": REQUEST_WITHIN,
            },
            retry_config={"max_retries": 5, "retry_timeout": RETRY_WITHIN},
        )
        return ObstoreObjects(bucket)
    # The URL itself stays out of the message: it may hold a secret.
    raise ValueError("objects are at file:///absolute/folder or s3://bucket/prefix?endpoint=…")
