"""The command `hansard`: starting, tokens, logging, the demo."""

import json
import subprocess
import sys
from pathlib import Path

import httpx
import jwt
import pytest

from tests.servers.hansard import UNLIMITED, HansardServer
from tests.system.import_support import hansard

LOG_OF_A_LIBRARY = """
import logging, sys
from workers.tools.logs import configure
configure("info", sys.stderr)
logging.getLogger("some.library").info("quiet")
try:
    raise ValueError("said in confidence")
except ValueError:
    logging.getLogger("some.library").exception("it failed\\nsaid in confidence")
"""


@pytest.fixture
def home(tmp_path: Path) -> HansardServer:
    """A data folder that no server runs on yet."""
    return HansardServer(tmp_path / "data")


class TestToken:
    def test_lets_its_user_in(self, fresh_server: HansardServer) -> None:
        token = hansard(fresh_server.environ, "token", "ann").stdout.strip()
        headers = {"Authorization": f"Bearer {token}"}
        answer = httpx.put(f"{fresh_server.url}/v1/me", headers=headers, json={"name": "Ann"})
        assert answer.json()["id"] == "ann"

    def test_says_what_it_is_asked_to(self, home: HansardServer) -> None:
        names = {"HANSARD_JWT_ISSUER": "here", "HANSARD_JWT_AUDIENCE": "chat"}
        options = ("--hours", "0.5", "--scope", "hansard:audit", "--scope", "hansard:moderate")
        token = hansard(home.environ | names, "token", "ann", *options).stdout.strip()
        claims = jwt.decode(token, home.secret().strip(), ["HS256"], issuer="here", audience="chat")
        assert claims["sub"] == "ann"
        assert claims["scope"] == "hansard:audit hansard:moderate"

    @pytest.mark.parametrize("user", ["", "a b", "ann@example.org", "a" * 129])
    def test_of_no_user_id(self, home: HansardServer, user: str) -> None:
        ended = hansard(home.environ, "token", user, code=2)
        assert ended.stderr.startswith("hansard: ")
        assert ended.stderr.count("\n") == 1
        assert ended.stdout == ""

    def test_of_an_address_where_that_is_allowed(self, home: HansardServer) -> None:
        allowed = home.environ | {"HANSARD_ALLOW_ADDRESS_IDS": "on"}
        assert hansard(allowed, "token", "ann@example.org").stdout.count(".") == 2

    def test_where_someone_else_makes_them(self, home: HansardServer) -> None:
        elsewhere = home.environ | {"HANSARD_JWT_JWKS_URL": "https://id.example.org/keys"}
        assert "HANSARD_JWT_JWKS_URL" in hansard(elsewhere, "token", "ann", code=2).stderr


class TestStart:
    @pytest.mark.parametrize("command", [["serve"], ["token", "ann"], ["doctor"], ["demo"]])
    def test_an_unknown_variable_stops_it(self, home: HansardServer, command: list[str]) -> None:
        ended = hansard(home.environ | {"HANSARD_PROT": "1"}, *command, code=2)
        assert (
            ended.stderr == "hansard: HANSARD_PROT is not a setting (did you mean HANSARD_PORT?)\n"
        )

    def test_one_server_on_one_folder(self, fresh_server: HansardServer) -> None:
        ended = hansard(fresh_server.environ, "serve", code=2)
        held = f"{fresh_server.folder} is in use by process {fresh_server.pid}"
        assert ended.stderr == f"hansard: {held}\n"

    def test_the_line_to_paste_sends_a_message_once(self, fresh_server: HansardServer) -> None:
        said = fresh_server.log
        assert f"{fresh_server.url}/docs" in said
        [line] = [line for line in said.splitlines() if "curl" in line]
        answers = [
            subprocess.run(["sh", "-c", line], capture_output=True, text=True, check=True).stdout
            for _ in range(2)
        ]
        assert answers[0] == answers[1]
        message = json.loads(answers[0])
        assert (message["sender"], message["content"]) == ("alice", "Hello, Bob!")
        with httpx.Client(base_url=fresh_server.url) as bob:
            bob.headers["Authorization"] = f"Bearer {fresh_server.token('bob')}"
            [row] = bob.get("/v1/chats").json()["items"]
        assert (row["last_message"]["content"], row["unread"]) == ("Hello, Bob!", 1)

    def test_no_tokens_of_a_given_secret(self, tmp_path: Path) -> None:
        secret = {"HANSARD_JWT_SECRET": "a secret of the operator, long enough"}
        server = HansardServer(tmp_path / "data", UNLIMITED | secret).start()
        assert server.url in server.log
        assert "alice" not in server.log
        assert server.stop() == 0


class TestLogging:
    def test_json_where_nobody_looks(self, tmp_path: Path) -> None:
        server = HansardServer(tmp_path / "data", UNLIMITED | {"HANSARD_JWT_SECRET": "short"})
        server.start()
        assert server.stop() == 0
        entries = [json.loads(line) for line in server.log.splitlines() if line.startswith("{")]
        [warning] = [entry for entry in entries if entry["level"] == "warning"]
        assert warning["event"] == "jwt_secret_too_short"
        assert all(entry["timestamp"].endswith("Z") for entry in entries)

    def test_libraries_quote_nobody(self, home: HansardServer) -> None:
        ended = subprocess.run(
            [sys.executable, "-c", LOG_OF_A_LIBRARY],
            env=home.environ,
            capture_output=True,
            text=True,
            check=True,
        )
        entry = json.loads(ended.stderr)
        assert entry["message"] == "it failed"
        assert entry["error"] == "ValueError"
        assert "confidence" not in ended.stderr


class TestDemo:
    def test_can_be_had_twice(self, fresh_server: HansardServer) -> None:
        for _ in range(2):
            told = hansard(fresh_server.environ, "demo", "--url", fresh_server.url).stdout
            assert "message.deleted" in told

    def test_without_a_server(self, home: HansardServer) -> None:
        ended = hansard(home.environ, "demo", code=2)
        assert home.url in ended.stderr
        assert ended.stderr.count("\n") == 1
