import pytest

from projections.prefix import server_and_prefix


@pytest.mark.parametrize(
    ("url", "server", "prefix"),
    [
        ("redis://host", "redis://host", "hansard"),
        ("redis://host:6379/", "redis://host:6379", "hansard"),
        ("rediss://u:p@host:1/chat-1?a=b", "rediss://u:p@host:1?a=b", "chat-1"),
        ("kafka://a:9092/2", "kafka://a:9092", "2"),
    ],
)
def test_the_path_is_the_prefix(url: str, server: str, prefix: str) -> None:
    assert server_and_prefix(url) == (server, prefix)


@pytest.mark.parametrize("path", ["a/b", "a:b", "a b", "é", "x" * 65])
def test_what_can_not_begin_a_name_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="prefix"):
        server_and_prefix(f"redis://host/{path}")
