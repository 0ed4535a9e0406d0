"""A load driver for any running Hansard. It speaks the public API alone: REST and WebSocket."""


class Stop(Exception):
    """The run can't go on; the message says why in one line."""


def rate_limited(where: str) -> Stop:
    return Stop(
        f"rate limited by the server ({where}): start it with HANSARD_RATE_WRITES=off"
        " HANSARD_RATE_READS=off HANSARD_RATE_CONNECTS=off HANSARD_RATE_UNAUTHENTICATED=off"
    )
