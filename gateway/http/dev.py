"""Tokens for development, on a server that made its own secret and listens on loopback only."""

import msgspec
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from gateway import forms
from gateway.auth import mint
from gateway.http.dependencies import answer, body, services_of
from gateway.openapi import documented
from gateway.problems import Problem

#: How long such a token is good, in seconds.
LIFETIME = 24 * 60 * 60

_LOOPBACK = frozenset(("localhost", "127.0.0.1", "[::1]"))

router = APIRouter()


class DevToken(msgspec.Struct, frozen=True):
    token: str


@router.post(
    "/v1/dev/token",
    **documented(
        body=forms.DevTokenForm,
        answers={200: DevToken},
        problems=("not_found", "not_allowed", "id_is_personal"),
        public=True,
    ),
)
async def make_token(request: Request) -> Response:
    """A token for any user, for pages that this server itself has served."""
    policy = services_of(request).policy
    if policy.dev_secret is None:
        raise Problem("not_found", "Not Found")
    _refuse_other_sites(request)
    user = (await body(request, forms.DevTokenForm)).user
    if "@" in user and not policy.allow_address_ids:
        raise Problem("id_is_personal", "A user id must not be an address: it outlives erasure.")
    token = mint(
        policy.dev_secret,
        user,
        LIFETIME,
        issuer=policy.jwt_issuer,
        audience=policy.jwt_audience,
    )
    return answer(DevToken(token))


def _refuse_other_sites(request: Request) -> None:
    # A page elsewhere can have this machine's browser ask here: its origin gives it away, and the
    # host does where it has made its own name point to this machine.
    host = request.headers.get("host", "")
    name = host[: host.rfind(":")] if host.rpartition(":")[2].isdecimal() else host
    if name.lower() not in _LOOPBACK:
        raise Problem("not_allowed", "Ask by the name localhost.")
    if request.headers.get("origin") != f"{request.url.scheme}://{host}":
        raise Problem("not_allowed", "Only pages of this server may ask for a token.")
