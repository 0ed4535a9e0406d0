"""Which endpoints of push services are taken."""

import pytest

from gateway.push_endpoints import BadEndpoint, PushHosts, is_public


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("https://push.example.org/a?b", ("push.example.org", 443)),
        ("https://PUSH.example.org:443/", ("push.example.org", 443)),
        ("https://1.1.1.1/", ("1.1.1.1", 443)),
        ("https://[2606:4700:4700::1111]/", ("2606:4700:4700::1111", 443)),
    ],
)
def test_without_a_list_everything_public_is_taken(
    endpoint: str, expected: tuple[str, int]
) -> None:
    assert PushHosts().take(endpoint) == expected


@pytest.mark.parametrize(
    "endpoint",
    [
        "",
        "push.example.org",
        "http://push.example.org/",
        "https://",
        "https:///path",
        "https://a:b@push.example.org/",
        "https://@push.example.org/",
        "https://push.example.org:0/",
        "https://push.example.org:22/",
        "https://push.example.org:99999/",
        "https://push.example.org:x/",
        "https://push.example.org/\n",
        "https://push.example.org/ä",
        "https://push.example.org/\r\nHost: x",
        "https://127.0.0.1/",
        "https://0.0.0.0/",
        "https://10.1.2.3/",
        "https://192.168.1.1/",
        "https://169.254.169.254/",
        "https://100.64.0.1/",
        "https://224.0.0.1/",
        "https://[::1]/",
        "https://[::]/",
        "https://[fe80::1]/",
        "https://[fc00::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[ff02::1]/",
    ],
)
def test_what_is_not_public_is_not(endpoint: str) -> None:
    with pytest.raises(BadEndpoint):
        PushHosts().take(endpoint)


def test_with_a_list_only_what_is_on_it() -> None:
    hosts = PushHosts(["push.example.org", "LocalHost:8443", "*.example.net"])
    assert hosts.take("https://push.example.org/") == ("push.example.org", 443)
    assert hosts.take("https://localhost:8443/") == ("localhost", 8443)
    assert hosts.take("https://a.b.example.net/") == ("a.b.example.net", 443)
    for other in (
        "https://example.org/",
        "https://push.example.org:8443/",
        "https://push.example.org.evil.example/",
        "https://localhost/",
        "https://localhost:8444/",
        "https://example.net/",
        "https://evilexample.net/",
        "https://a.example.net:8443/",
    ):
        with pytest.raises(BadEndpoint):
            hosts.take(other)


@pytest.mark.parametrize(
    "address",
    ["::ffff:10.0.0.1", "64:ff9b:1::1", "64:ff9b::7f00:1", "2002:7f00:1::1", "fe80::1%eth0"],
)
def test_addresses_in_disguise(address: str) -> None:
    assert not is_public(address)


def test_a_public_address_behind_a_translator() -> None:
    assert is_public("64:ff9b::101:101")
