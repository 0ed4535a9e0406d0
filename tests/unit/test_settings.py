import base64
import re
from ipaddress import ip_network
from pathlib import Path

import pytest
from pydantic import ValidationError

from workers.settings import Settings, SettingsError, read_settings, variable

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"
KEY = bytes(range(32))


def refusal(**variables: str) -> str:
    with pytest.raises(SettingsError) as caught:
        read_settings({f"HANSARD_{name}": value for name, value in variables.items()})
    text = str(caught.value)
    assert "\n" not in text
    assert caught.value.__context__ is None
    return text


def test_defaults_are_the_embedded_edition() -> None:
    folder = Path("data").absolute()
    settings = read_settings({})
    assert settings.data_dir == folder
    assert settings.log_url == f"sqlite:///{folder}/log.db"
    assert settings.store_url == f"sqlite:///{folder}/read.db"
    assert settings.keyring_url == f"sqlite:///{folder}/keys.db"
    assert settings.media_url == f"file://{folder}/media"
    assert settings.realtime_url == "memory://"
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert (settings.jwt_secret, settings.jwt_jwks_url, settings.master_key) == (None, None, None)
    assert settings.sealing
    assert not settings.allow_address_ids
    assert not settings.delete_destroys
    assert settings.directory == "all"
    assert settings.rates == {
        "writes": "20/second",
        "reads": "100/second",
        "uploads": "60/minute",
        "connects": "10/second",
        "unauthenticated": "10/second",
    }


def test_urls_follow_the_data_folder_unless_given() -> None:
    settings = read_settings(
        {"HANSARD_DATA_DIR": "/srv/a b%", "HANSARD_STORE_URL": "sqlite:////elsewhere/read.db"}
    )
    assert settings.log_url == "sqlite:////srv/a b%/log.db"
    assert settings.media_url == "file:///srv/a%20b%25/media"
    assert settings.store_url == "sqlite:////elsewhere/read.db"


def test_values_are_parsed() -> None:
    settings = read_settings(
        {
            "HANSARD_TRUSTED_PROXIES": "10.0.0.0/8, ::1",
            "HANSARD_CORS_ORIGINS": "https://a.example,http://localhost:3000",
            "HANSARD_SEALING": "off",
            "HANSARD_ALLOW_ADDRESS_IDS": "on",
            "HANSARD_MASTER_KEY": base64.b64encode(KEY).decode(),
            "HANSARD_MEDIA_QUOTA": "1MiB",
            "HANSARD_PORT": "0",
        }
    )
    assert settings.trusted_proxies == (ip_network("10.0.0.0/8"), ip_network("::1/128"))
    assert settings.cors_origins == ("https://a.example", "http://localhost:3000")
    assert (settings.sealing, settings.allow_address_ids) == (False, True)
    assert settings.master_key == KEY
    assert settings.media_quota == 2**20
    assert settings.port == 0


def test_lists_may_be_empty() -> None:
    settings = read_settings({"HANSARD_TRUSTED_PROXIES": "", "HANSARD_CORS_ORIGINS": ""})
    assert settings.trusted_proxies == settings.cors_origins == ()


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.0.2.1", False),
        ("localhost.example.org", False),
    ],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert read_settings({"HANSARD_HOST": host}).on_loopback is loopback


def test_only_the_given_environment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HANSARD_PORT", "9")
    assert read_settings({"PATH": "/bin", "hansard_port": "7"}).port == 8000


def test_variables_of_tests_are_not_ours() -> None:
    assert read_settings({"HANSARD_CORPUS": "x", "HANSARD_TEST_KAFKA": "y"}) == read_settings({})


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        read_settings({}).port = 1


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("PORT", "http", "a port number, 0 to 65535"),
        ("PORT", "65536", "a port number, 0 to 65535"),
        ("DATA_DIR", "", "a folder"),
        ("LOG_URL", "mysql://u:hunter2@h/db", "a sqlite:// or kafka:// URL"),
        ("LOG_URL", "", "a sqlite:// or kafka:// URL"),
        ("STORE_URL", "/var/lib/read.db", "a sqlite:// or mongodb:// URL"),
        ("REALTIME_URL", "memory", "memory:// or a redis:// URL"),
        ("MEDIA_URL", "ftp://hunter2", "a file:// or s3:// URL"),
        ("KEYRING_URL", "file:///keys", "a sqlite:// or mongodb:// URL"),
        ("SEALING", "true", "on or off"),
        ("SEALING", "", "on or off"),
        ("MASTER_KEY", "hunter2", "32 bytes in base64"),
        ("MASTER_KEY", base64.b64encode(KEY + b"x").decode(), "32 bytes in base64"),
        ("JWT_SECRET", "", "a secret text, not a public key or certificate"),
        (
            "JWT_SECRET",
            "-----BEGIN PUBLIC KEY-----\nhunter2\n-----END PUBLIC KEY-----",
            "a secret text, not a public key or certificate",
        ),
        ("JWT_JWKS_URL", "file:///jwks.json", "an http:// or https:// URL"),
        ("RATE_WRITES", "fast", "one limit such as 20/second, or off"),
        ("RATE_READS", "1/second;5/minute", "one limit such as 20/second, or off"),
        ("TRUSTED_PROXIES", "10.0.0.1/8", "CIDRs separated by commas, such as 10.0.0.0/8"),
        (
            "CORS_ORIGINS",
            "https://a.example/path",
            "origins separated by commas, such as https://chat.example.org",
        ),
        ("DIRECTORY", "some", "all, shared or off"),
        ("PUBLIC_URL", "chat.example.org", "an http:// or https:// URL"),
        ("PUSH_DELAY", "-1", "seconds, 0 to 3600"),
        ("SMTP_URL", "http://u:hunter2@h", "an smtp:// or smtps:// URL"),
        ("MAIL_FROM", "a@[", "an email address"),
        ("MAIL_FROM", "<a@example.org>", "an email address"),
        ("VAPID_PRIVATE_KEY", "hunter2", "a private key of P-256: 32 bytes in base64url"),
        ("VAPID_PRIVATE_KEY", "_" * 43, "a private key of P-256: 32 bytes in base64url"),
        ("VAPID_SUBJECT", "admin@example.org", "a mailto: or https: URL"),
        ("MEDIA_QUOTA", "much", "a size such as 5GiB"),
        ("LOG_LEVEL", "INFO", "debug, info, warning or error"),
    ],
)
def test_a_wrong_value_is_one_line_without_it(name: str, value: str, expected: str) -> None:
    assert refusal(**{name: value}) == f"HANSARD_{name}: expected {expected}"


def test_all_wrong_values_are_told_at_once() -> None:
    text = refusal(PORT="x", SEALING="x")
    assert "HANSARD_PORT: expected" in text
    assert "HANSARD_SEALING: expected" in text


def test_an_unknown_variable_is_refused() -> None:
    assert refusal(PROT="1") == "HANSARD_PROT is not a setting (did you mean HANSARD_PORT?)"
    assert refusal(Port="1").startswith("HANSARD_Port is not a setting")
    assert refusal(ZZZZZZZZZZZZ="hunter2") == "HANSARD_ZZZZZZZZZZZZ is not a setting"


def test_one_algorithm_is_pinned() -> None:
    assert (
        refusal(JWT_SECRET="s" * 32, JWT_JWKS_URL="https://id.example.org/jwks.json")
        == "HANSARD_JWT_SECRET and HANSARD_JWT_JWKS_URL: set only one of them"
    )


def test_secrets_do_not_show() -> None:
    settings = read_settings(
        {
            "HANSARD_JWT_SECRET": "hunter2" * 5,
            "HANSARD_MASTER_KEY": base64.b64encode(b"hunter2-hunter2-hunter2-hunter2-").decode(),
            "HANSARD_LOG_URL": "kafka://me:hunter2@host",
            "HANSARD_REALTIME_URL": "redis://me:hunter2@host",
        }
    )
    assert "hunter2" not in repr(settings)
    assert "hunter2" not in str(settings)


def rows() -> dict[str, list[str]]:
    """The tables of the page: each variable with its other cells."""
    lines = re.findall(r"^\| `(HANSARD_\w+)` \|(.+)\|$", PAGE.read_text(), re.MULTILINE)
    return {name: [cell.strip() for cell in cells.split("|")] for name, cells in lines}


def test_the_page_has_every_setting_and_no_other() -> None:
    assert rows().keys() == {variable(field) for field in Settings.model_fields}


def test_every_setting_says_what_it_expects() -> None:
    assert all(field.description for field in Settings.model_fields.values())


def test_the_examples_of_the_page_work() -> None:
    for name, (what, _, example) in rows().items():
        assert what
        read_settings({name: example.strip("`")})


def test_the_defaults_of_the_page_are_the_defaults() -> None:
    written = {
        name: default.strip("`")
        for name, (_, default, _) in rows().items()
        if re.fullmatch("`[^`]+`", default)
    }
    assert len(written) > 15
    assert read_settings(written) == read_settings({})
