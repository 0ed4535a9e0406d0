"""What a client is told whose search would go through too much."""

from pathlib import Path

import httpx
import pytest

from gateway.app import create_app
from gateway.auth import mint
from projections.store import sqlite_matching
from workers.core import open_core, writing
from workers.secrets_file import open_secrets
from workers.serve import Told, gateway_services
from workers.settings import read_settings


async def test_a_search_that_costs_too_much_is_no_fault_of_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = read_settings({"HANSARD_DATA_DIR": str(tmp_path / "data")})
    secrets = open_secrets(settings)
    assert secrets.jwt_secret is not None
    async with (
        open_core(settings, secrets) as core,
        writing(core),
        gateway_services(core, settings, secrets, Told()) as services,
        httpx.AsyncClient(
            transport=httpx.ASGITransport(create_app(services)),
            base_url="http://localhost",
            headers={"Authorization": f"Bearer {mint(secrets.jwt_secret, 'ann', 60)}"},
        ) as ann,
    ):
        registered = await ann.put("/v1/me", json={"name": "Ann"})
        made = await ann.post(
            "/v1/chats",
            json={"kind": "group", "members": []},
            headers={"Hansard-Position": registered.headers["Hansard-Position"]},
        )
        position = {"Hansard-Position": made.headers["Hansard-Position"]}
        with monkeypatch.context() as bounds:
            bounds.setattr(sqlite_matching, "MOST_STEPS", 0)
            bounds.setattr(sqlite_matching, "STEPS_BETWEEN", 1)
            refused = await ann.get("/v1/search/messages?q=red", headers=position)
        assert refused.status_code == 422
        assert refused.headers["Content-Type"] == "application/problem+json"
        problem = refused.json()
        assert problem["code"] == "invalid_request"
        assert [error["field"] for error in problem["errors"]] == ["q"]
        answered = await ann.get("/v1/search/messages?q=red", headers=position)
        assert answered.json() == {"items": [], "next": None}
