"""`hansard suspend` and `hansard resume`: beside the others that share the log; of a log of one
process by the server that runs on it, or in its place."""

import asyncio
from urllib.parse import quote

import httpx
import msgspec

from gateway import moderation
from gateway.auth import MODERATE, mint
from gateway.problems import Problem
from projections.keyring.port import KeyringError
from projections.progress import Behind
from projections.store.port import StoreError
from workers.core import open_core, writing
from workers.data_lock import DataInUse
from workers.log.port import LogError
from workers.secrets_file import Secrets, open_secrets
from workers.settings import Settings, StartRefused
from workers.tools.welcome import url

#: Who acts at the terminal, in the operators' streams.
TERMINAL = "terminal"

_TOKEN_SECONDS = 60
_PATIENCE_SECONDS = 30.0


class Suspension(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is wanted of a user: to be suspended from now on, or not any more."""

    user: str
    suspended: bool
    reason: str | None = None


async def carry_out(
    settings: Settings, wanted: Suspension, at: str | None, token: str | None
) -> None:
    """Suspend a user, or let them in again.

    Args:
        settings: where the data is, and a server that runs on it.
        wanted: what to do.
        at: where to find the server, where it is not as the settings say.
        token: what to show it, where it does not make its tokens itself.

    Raises:
        StartRefused: it was not done; the text says why.
    """
    secrets = open_secrets(settings)
    if at is not None:
        await _ask(settings, secrets, wanted, at, token)
        return
    try:
        await _do(settings, secrets, wanted)
    except DataInUse:
        await _ask(settings, secrets, wanted, url(settings), token)


async def _do(settings: Settings, secrets: Secrets, wanted: Suspension) -> None:
    refusal: str | None = None
    async with open_core(settings, secrets) as core, writing(core):
        who = (core.commander, core.store, TERMINAL, wanted.user)
        try:
            # Where others feed the read models, nobody may.
            async with asyncio.timeout(None if core.watch is None else _PATIENCE_SECONDS):
                await core.settle()
                if wanted.suspended:
                    await moderation.suspend(*who, reason=wanted.reason, rights="operator")
                else:
                    await moderation.resume(*who, rights="operator")
                await core.settle()
        except Problem as problem:
            refusal = problem.detail
        except (KeyringError, LogError, StoreError) as error:
            refusal = str(error)
        except (Behind, TimeoutError):
            refusal = "The read models do not catch up: is a projector running?"
    if refusal is not None:
        raise StartRefused(f"{wanted.user}: {refusal}")


async def _ask(
    settings: Settings, secrets: Secrets, wanted: Suspension, at: str, token: str | None
) -> None:
    headers = {"Authorization": f"Bearer {token or _token(settings, secrets)}"}
    path = f"{at.rstrip('/')}/v1/moderation/users/{quote(wanted.user, safe='')}/suspension"
    body = {} if wanted.reason is None else {"reason": wanted.reason}
    try:
        async with httpx.AsyncClient(headers=headers, timeout=_PATIENCE_SECONDS) as client:
            answer = await (
                client.post(path, json=body) if wanted.suspended else client.delete(path)
            )
    except (httpx.TransportError, httpx.InvalidURL) as error:
        raise StartRefused(f"no server answers at {at}") from error
    if not answer.is_success:
        raise StartRefused(f"{wanted.user}: {_why(answer)}")


def _token(settings: Settings, secrets: Secrets) -> str:
    if secrets.jwt_secret is None:
        raise StartRefused(f"HANSARD_JWT_JWKS_URL is set: give --token with the scope {MODERATE}")
    return mint(
        secrets.jwt_secret,
        TERMINAL,
        _TOKEN_SECONDS,
        scopes=(MODERATE,),
        issuer=settings.jwt_issuer,
        audience=settings.jwt_audience,
    )


def _why(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"the server answered {answer.status_code}"
