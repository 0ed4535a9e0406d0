"""An uploaded file out of a multipart body, spooled to the disk as it comes."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator
from typing import BinaryIO, NamedTuple

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from gateway.media.names import clean_name
from gateway.problems import Problem, invalid_request

MAX_FILE_BYTES = 10 * 1024 * 1024
#: What a body may hold beside the file: boundaries and headers of the part.
MAX_AROUND_BYTES = 16 * 1024
FIELD = "file"


class Incoming(NamedTuple):
    """An uploaded file and the clean form of the name it came with."""

    content: BinaryIO
    name: str


class _Parser(MultiPartParser):
    # Of each upload under way so much is in memory.
    spool_max_size = 64 * 1024


@contextlib.asynccontextmanager
async def incoming_file(request: Request) -> AsyncIterator[Incoming]:
    """The one file of a multipart body.

    Raises:
        Problem: `unsupported_media_type`, `too_large`, or `invalid_request`.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "multipart/form-data":
        raise Problem("unsupported_media_type", "Send multipart/form-data.")
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem("unsupported_media_type", "Send the body without a content encoding.")
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > MAX_FILE_BYTES + MAX_AROUND_BYTES:
        raise _too_large()
    parser = _Parser(request.headers, _bounded(request), max_files=1, max_fields=0)
    try:
        form = await parser.parse()
    except MultiPartException as error:
        raise invalid_request(FIELD, f"Send one file, in the field `{FIELD}`.") from error
    try:
        yield _only_file(form.getlist(FIELD))
    finally:
        await form.close()


def _only_file(found: list[UploadFile | str]) -> Incoming:
    file = found[0] if found else None
    if not isinstance(file, UploadFile):
        raise invalid_request(FIELD, f"Send one file, in the field `{FIELD}`.")
    if not file.size:
        raise invalid_request(FIELD, "The file is empty.")
    if file.size > MAX_FILE_BYTES:
        raise _too_large()
    return Incoming(file.file, clean_name(file.filename or ""))


async def _bounded(request: Request) -> AsyncGenerator[bytes, None]:
    read = 0
    async for chunk in request.stream():
        read += len(chunk)
        if read > MAX_FILE_BYTES + MAX_AROUND_BYTES:
            raise _too_large()
        yield chunk


def _too_large() -> Problem:
    return Problem("too_large", f"A file has at most {MAX_FILE_BYTES} bytes.")
