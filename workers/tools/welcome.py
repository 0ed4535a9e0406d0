"""What `hansard serve` says once it listens: where, and how to send the first message."""

from domain.ids import direct_chat_id
from gateway.auth import mint
from workers.secrets_file import Secrets
from workers.settings import Settings

#: How long the tokens are good for, in seconds.
LIFETIME = 24 * 3600

_EVERY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def url(settings: Settings) -> str:
    """Where a client on this machine finds the server."""
    host = _EVERY_ADDRESS.get(settings.host, settings.host)
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def welcome(settings: Settings, secrets: Secrets) -> None:
    """Print it. Tokens are shown only for a secret that the server made itself."""
    print(f"Hansard listens on {url(settings)}; its API is described at {url(settings)}/docs")
    if secrets.made_here and secrets.jwt_secret is not None:
        alice, bob = (
            mint(
                secrets.jwt_secret,
                user,
                LIFETIME,
                issuer=settings.jwt_issuer,
                audience=settings.jwt_audience,
            )
            for user in ("alice", "bob")
        )
        print(f"\nTwo tokens, good for a day (more: hansard token USER)\nalice {alice}\nbob {bob}")
        print("\nPaste this to register both and send the first message:")
        print(first_message(url(settings), alice, bob))
    print(flush=True)


def first_message(base: str, alice: str, bob: str) -> str:
    """One line for `sh` and curl that does the same however often it is run, and shows the
    message."""
    chat = direct_chat_id("alice", "bob")
    # A new user can be named a moment after they are registered: only the retry waits for that.
    silently = "curl -fsS -o /dev/null --retry 5 --retry-delay 1 --retry-all-errors"
    return " && ".join(
        (
            f"U={base}/v1 A='Authorization: Bearer {alice}' B='Authorization: Bearer {bob}'"
            " J='Content-Type: application/json' K='Idempotency-Key: first'",
            f"""{silently} -X PUT -H "$A" -H "$J" -H "$K" $U/me -d '{{"name":"Alice"}}'""",
            f"""{silently} -X PUT -H "$B" -H "$J" -H "$K" $U/me -d '{{"name":"Bob"}}'""",
            f"""{silently} -H "$A" -H "$J" $U/chats -d '{{"kind":"direct","members":["bob"]}}'""",
            f"""curl -sS -H "$A" -H "$J" -H "$K" $U/chats/{chat}/messages"""
            """ -d '{"kind":"text","content":"Hello, Bob!"}'""",
            "echo",
        )
    )
