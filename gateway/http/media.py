"""Uploaded files: taken in, described, and given out."""

import msgspec
from fastapi import APIRouter
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from domain.ids import media_id as media_of
from domain.ids import user_stream
from gateway import writes
from gateway.http.dependencies import (
    Call,
    answer,
    base_url,
    linked_reader,
    media_id,
    query,
    reader,
    writer,
)
from gateway.http.multipart import incoming_file
from gateway.media import types
from gateway.media.names import content_disposition
from gateway.media.ranges import Unsatisfiable, find_span
from gateway.openapi import documented
from gateway.problems import Problem
from projections.media import MediaObject
from projections.objects import NoSuchObject
from projections.views import media as views
from projections.views import shapes
from projections.views.reading import NotFound

ANY = "*/*"
WEBP = "image/webp"

router = APIRouter()


class Media(shapes.Media, frozen=True, kw_only=True):
    """`url` and `thumbnail_url` need no token, and are good for 5 minutes. `thumbnail_url` is null
    where there is no thumbnail."""

    url: str
    thumbnail_url: str | None


class LinkQuery(msgspec.Struct, frozen=True):
    """`link` is a part of the `url` of an item, and stands for a token."""

    link: str | None = None


@router.post(
    "/v1/media",
    status_code=201,
    **documented(
        upload=True,
        answers={201: Media},
        problems=("quota_exceeded", "media_not_found"),
        write=True,
    ),
)
async def upload_media(request: Request) -> Response:
    """Upload one file, in the field `file`, of at most 10 MiB.

    Its type is found from its bytes. Images are made anew from their pixels, without the place and
    whatever else they tell.
    """
    call = await writer(request, kind="uploads")
    async with incoming_file(request) as incoming:
        command = await writes.upload(
            call.services, call.user, incoming.content, incoming.name, call.key
        )
    media = media_of(command.id)
    call.tell("Location", f"/v1/media/{media}")
    await call.write(command)
    return await _described(call, media, 201)


@router.get("/v1/media/{media}", **documented(answers={200: Media}, problems=("media_not_found",)))
async def read_media(request: Request) -> Response:
    """What is known of a file, with links to it."""
    return await _described(await reader(request), media_id(request))


@router.api_route(
    "/v1/media/{media}/content",
    methods=["GET", "HEAD"],
    **documented(
        query=LinkQuery,
        answers={200: ANY, 206: ANY, 304: None},
        problems=("media_not_found", "invalid_request as 416"),
    ),
)
async def read_content(request: Request) -> Response:
    """The bytes of a file, or with `Range` a part of them."""
    call = await linked_reader(request, query(request, LinkQuery).link)
    item = await views.one(call.reading(), call.user, media_id(request))
    inline = item.mime in types.SAFE
    disposition = content_disposition(item.name, inline=inline)
    return await _served(call, _place(item), item.mime, disposition)


@router.api_route(
    "/v1/media/{media}/thumbnail",
    methods=["GET", "HEAD"],
    **documented(
        query=LinkQuery,
        answers={200: WEBP, 206: WEBP, 304: None},
        problems=("media_not_found", "invalid_request as 416"),
    ),
)
async def read_thumbnail(request: Request) -> Response:
    """A small picture of an image, a WebP of at most 320 pixels a side."""
    call = await linked_reader(request, query(request, LinkQuery).link)
    item = await views.one(call.reading(), call.user, media_id(request))
    if item.thumbnail is None:
        raise NotFound("media_not_found")
    disposition = content_disposition(None, inline=True)
    return await _served(call, _place(item).thumbnail, WEBP, disposition)


async def _described(call: Call, media: str, status: int = 200) -> Response:
    item = await views.one(call.reading(), call.user, media)
    call.about(user_stream(item.owner), user_stream(call.user))

    def link(path: str) -> str:
        signed = call.services.links.sign(call.user, path, call.services.clock())
        return f"{base_url(call.request)}{path}?link={signed}"

    described = Media(
        **msgspec.structs.asdict(item),
        url=link(f"/v1/media/{media}/content"),
        thumbnail_url=link(item.thumbnail) if item.thumbnail else None,
    )
    return answer(described, status)


def _place(item: shapes.Media) -> MediaObject:
    """The object of an item.

    Raises:
        NotFound: what led there was erased.
    """
    if item.sha256 is None:
        raise NotFound("media_not_found")
    return MediaObject(item.owner, item.id, item.sha256)


async def _served(call: Call, place: MediaObject, mime: str, disposition: str) -> Response:
    objects = call.services.objects
    try:
        stored = await objects.head(place.name)
        e_tag = f'"{place.file}"'
        headers = {
            "Accept-Ranges": "bytes",
            # A copy may be kept, but whether it may be shown is asked each time.
            "Cache-Control": "private, no-cache",
            "Content-Disposition": disposition,
            "Content-Security-Policy": "sandbox",
            "Cross-Origin-Resource-Policy": "cross-origin",
            "ETag": e_tag,
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
        }
        asked = call.request.headers
        if e_tag in asked.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        start, end, status = _part(asked, e_tag, stored.size)
        if status == 206:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{stored.size}"
        headers["Content-Length"] = str(end - start)
        if call.request.method == "HEAD":
            return _typed(Response(status_code=status, headers=headers), mime)
        chunks = await objects.get(place.name, start, end)
    except NoSuchObject as error:
        raise NotFound("media_not_found") from error
    return _typed(StreamingResponse(chunks, status, headers), mime)


def _part(asked: Headers, e_tag: str, size: int) -> tuple[int, int, int]:
    """Where the part asked for begins and ends, and the status that tells of it.

    Raises:
        Problem: 416.
    """
    if asked.get("if-range", e_tag) != e_tag:
        return 0, size, 200
    try:
        span = find_span(asked.get("range"), size)
    except Unsatisfiable as error:
        raise Problem(
            "invalid_request",
            "The file has no such bytes.",
            status=416,
            headers={"Content-Range": f"bytes */{size}"},
        ) from error
    return (0, size, 200) if span is None else (*span, 206)


def _typed(response: Response, mime: str) -> Response:
    # Set here, so that nothing adds a charset.
    response.headers["Content-Type"] = mime
    return response
