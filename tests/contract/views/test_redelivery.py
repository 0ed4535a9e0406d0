"""Events that are folded again change nothing, whatever came after them."""

from domain import commands as c
from projections.views import chats
from tests.contract.views.world import Logged, World


async def test_a_creation_that_comes_again_undoes_nothing(world: World) -> None:
    await world.group("g", "ann", "bob")
    await world.to_chat("ann", "g", c.SetRole(user="bob", role="admin"))
    await world.fold()
    await world.engine.apply(Logged("events", 1, world.log[:1]))
    await world.say("bob", "g", "hello")
    shown = await chats.one(await world.reading(), "ann", "g")
    assert [member.role for member in shown.members] == ["admin", "admin"]
