"""Which addresses of push services are taken. They come from users, so they may be anything."""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit

MAX_CHARACTERS = 2048
HTTPS_PORT = 443

# RFC 6052: an IPv4 address behind a prefix. RFC 8215: the same for use within a network.
_NAT64 = IPv6Network("64:ff9b::/96")
_LOCAL_NAT64 = IPv6Network("64:ff9b:1::/48")


class BadEndpoint(ValueError):
    """Nothing is sent there; the text says why."""


class PushHosts:
    """Where push messages may go: to the hosts that are listed, or without a list to every host
    with a public address.

    An entry is `host`, `host:port` or `*.domain`. The operator vouches for what is listed: it may
    have a private address.
    """

    def __init__(self, listed: Sequence[str] = ()) -> None:
        self._listed = [entry.lower() for entry in listed]

    def take(self, endpoint: str) -> tuple[str, int]:
        """Host and port of an endpoint.

        Raises:
            BadEndpoint: it is none of a push service that may be used.
        """
        try:
            parts = urlsplit(endpoint)
            host, port = parts.hostname, HTTPS_PORT if parts.port is None else parts.port
        except ValueError as error:
            raise BadEndpoint("This is no URL.") from error
        if parts.scheme != "https" or not host or parts.username is not None:
            raise BadEndpoint("An endpoint is an https:// URL without a user name.")
        if len(endpoint) > MAX_CHARACTERS or not endpoint.isascii() or not endpoint.isprintable():
            raise BadEndpoint(f"An endpoint has at most {MAX_CHARACTERS} characters of ASCII.")
        if self._listed:
            if not self.lists(host, port):
                raise BadEndpoint("This server sends to other push services only.")
        elif port != HTTPS_PORT or not _may_be_public(host):
            raise BadEndpoint("An endpoint is at a public address, at the port of https.")
        return host, port

    def lists(self, host: str, port: int) -> bool:
        """Whether the operator has named this host."""
        return any(
            (entry.startswith("*.") and port == HTTPS_PORT and host.endswith(entry[1:]))
            or entry == f"{host}:{port}"
            or (entry == host and port == HTTPS_PORT)
            for entry in self._listed
        )


def is_public(address: str) -> bool:
    """Whether an IP address can be reached from everywhere."""
    ip = ip_address(address)
    if isinstance(ip, IPv6Address):
        if ip in _NAT64:
            return is_public(str(IPv4Address(int(ip) & 0xFFFFFFFF)))
        # Other addresses may be hidden in these.
        if ip in _LOCAL_NAT64 or ip.ipv4_mapped or ip.sixtofour or ip.teredo:
            return False
    return ip.is_global and not ip.is_multicast


def _may_be_public(host: str) -> bool:
    try:
        return is_public(host)
    except ValueError:
        return True
