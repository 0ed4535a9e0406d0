"""The OpenAPI document says what the routes do."""

import re
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]  # it has no types

from gateway.app import ROUTERS, openapi_document
from gateway.problems import CODES

DOCUMENT = openapi_document()
ERRORS = Path(__file__).parents[2] / "docs" / "errors.md"
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}


def test_every_route_is_described() -> None:
    routes = {
        f"{method} {route.path}"
        for router in ROUTERS
        for route in router.routes
        for method in route.methods - {"HEAD"}
    }
    assert routes == OPERATIONS.keys()


def test_operations_have_names_of_their_own() -> None:
    ids = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(ids) == len(set(ids))


def test_all_references_lead_somewhere() -> None:
    for section, name in re.findall(r"#/components/(\w+)/([\w.-]+)'", repr(DOCUMENT)):
        assert name in DOCUMENT["components"][section]


def test_schemas_are_schemas() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_with_a_token_can_be_refused_and_limited(name: str) -> None:
    operation = OPERATIONS[name]
    expected = {"401", "403", "429", "503"} if "security" in operation else set()
    assert expected <= operation["responses"].keys()


def test_every_code_has_a_section_of_its_own() -> None:
    sections = re.findall(r"^### `(\w+)`", ERRORS.read_text(), re.MULTILINE)
    assert sorted(sections) == sorted(CODES)
