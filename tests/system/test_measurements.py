"""What the dashboard and the alerts ask for is measured, and what is measured stays bounded."""

import json
import re
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from tests.servers.clients import connected
from tests.servers.hansard import HansardServer
from tests.system.rest_support import people, refused, shown
from tests.system.sight_support import exposed, measured, process_of, processes, value
from tests.waiting import until

DOCS = Path(__file__).parents[2] / "docs"
DASHBOARD = json.loads((DOCS / "grafana" / "hansard.json").read_text())
ALERTS = YAML(typ="safe").load((DOCS / "alerts.yml").read_text())

QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]


def names_in(query: str) -> set[str]:
    """The metrics that a query names."""
    return set(re.findall(r"\b(?:hansard|process)_\w+", query))


async def test_whatever_is_asked_for_is_measured(server: HansardServer) -> None:
    found = set().union(*map(exposed, processes(server)))
    asked = set().union(*map(names_in, [*QUERIES, *(rule["expr"] for rule in RULES)]))
    assert len(asked) > 30
    assert asked <= found


async def test_whatever_is_measured_is_described(server: HansardServer) -> None:
    described = (DOCS / "observability.md").read_text()
    families = {
        re.sub(r"_(total|bucket|sum|count)$", "", name)
        for name in set().union(*map(exposed, processes(server)))
        if name.startswith("hansard_")
    }
    assert {name for name in families if f"`{name}" not in described} == set()


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_every_alert_has_its_place_in_the_runbook(rule: dict[str, dict[str, str]]) -> None:
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (DOCS / page).read_text(), re.MULTILINE)
    assert anchor in {re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings}
    assert rule["annotations"]["summary"]
    assert rule["labels"]["severity"] in ("page", "ticket")


def test_every_panel_of_the_dashboard_has_its_own_place() -> None:
    panels = DASHBOARD["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        area = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert all(x < 24 for x, _ in area)
        assert not area & taken
        taken |= area
        assert panel["title"]
        assert panel["type"] == "row" or panel["targets"]


async def test_what_is_done_is_counted(server: HansardServer) -> None:
    gateway, decider = process_of(server, "gateway"), process_of(server, "decider")
    fanout, projector = process_of(server, "fanout"), process_of(server, "projector")
    asked = {"kind": "send_message"}
    before = {
        outcome: value(decider, "hansard_commands_total", outcome=outcome, **asked)
        for outcome in ("accepted", "replayed")
    }
    frames = value(gateway, "hansard_websocket_frames_received_total", op="send")
    async with people(server, "ann") as (ann,):
        chat = await ann.chat()
        body = {"kind": "text", "content": "Hi"}
        for _ in range(2):
            at = f"/v1/chats/{chat}/messages"
            shown(await ann.post(at, json=body, headers={"Idempotency-Key": "a"}), 201)
        async with connected(server, ann.user) as socket:
            await socket.ask("send", chat=chat, kind="text", content="Hi")
            await socket.event("message.sent")
            assert value(gateway, "hansard_websocket_connections") >= 1
        refused(
            await ann.patch(f"/v1/chats/{chat}/messages/99", json={"content": "?"}),
            "message_not_found",
        )

    after = {o: value(decider, "hansard_commands_total", outcome=o, **asked) for o in before}
    assert after["accepted"] - before["accepted"] == 2
    assert after["replayed"] - before["replayed"] == 1
    assert value(decider, "hansard_group_commands_sum") >= 3
    assert value(decider, "hansard_commit_seconds_count") >= 2
    assert value(decider, "hansard_partitions_held", work="decider") >= 1
    assert value(gateway, "hansard_websocket_frames_received_total", op="send") == frames + 1
    assert value(gateway, "hansard_websocket_write_seconds_count") >= 1
    for process, work in ((fanout, "fanout"), (projector, "projector")):
        assert value(process, "hansard_reader_batch_events_sum", work=work) >= 2
        assert value(process, "hansard_partitions_held", work=work) >= 1

        async def has_caught_up(process: HansardServer = process, work: str = work) -> bool:
            return value(process, "hansard_reader_lag_seconds", work=work) == 0

        await until(has_caught_up)


async def test_no_label_names_a_person_or_a_chat(server: HansardServer) -> None:
    async with people(server, "ann") as (ann,):
        chat = await ann.chat()
        await ann.say(chat, "Hi")
        await ann.get(f"/v1/{chat}/nothing")
        for process in processes(server):
            text = measured(process)
            assert ann.user not in text
            assert chat not in text
