"""What goes wrong with realtime is counted."""

import pytest
from prometheus_client import CollectorRegistry

from projections.realtime import open_realtime
from projections.realtime.port import Publication, RealtimeError
from tests.servers.process import free_port


async def test_a_server_that_is_not_there_is_counted() -> None:
    registry = CollectorRegistry()
    realtime = open_realtime(f"redis://127.0.0.1:{free_port()}", registry)
    with pytest.raises(RealtimeError):
        await realtime.publish([Publication(channel="chats/a", kind="typing")])
    await realtime.subscribe(["chats/a"])
    await realtime.close()
    assert registry.get_sample_value("hansard_realtime_failures_total") == 1
    interruptions = registry.get_sample_value("hansard_realtime_interruptions_total")
    assert interruptions is not None
    assert interruptions >= 1
