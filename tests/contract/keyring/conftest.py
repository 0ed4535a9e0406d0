from collections.abc import Callable
from pathlib import Path

import pytest

MASTER_KEY = bytes(range(32))


@pytest.fixture
def master_key() -> bytes:
    return MASTER_KEY


@pytest.fixture(params=["sqlite", "mongo"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a keyring can be made, of every adapter in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/keys.db"
    new: Callable[[], str] = request.getfixturevalue("new_mongo_url")
    return new()
