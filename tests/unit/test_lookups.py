"""What is remembered, and for how long."""

from gateway.lookups import Remembered, send_cost


def test_values_are_forgotten_in_time() -> None:
    now = 0.0
    remembered: Remembered[str, int] = Remembered(lambda: now, seconds=4.0)
    remembered.keep("a", 1)
    now = 2.0
    remembered.keep("b", 2)
    assert (remembered.get("a"), remembered.get("b")) == (1, 2)
    now = 4.0
    assert (remembered.get("a"), remembered.get("b")) == (None, 2)


def test_the_oldest_goes_when_there_are_too_many() -> None:
    remembered: Remembered[str, int] = Remembered(lambda: 0.0, seconds=4.0, capacity=2)
    remembered.keep("a", 1)
    remembered.keep("b", 2)
    remembered.keep("a", 3)
    remembered.keep("c", 4)
    assert [remembered.get(key) for key in "abc"] == [3, None, 4]


def test_a_send_costs_one_more_for_every_hundred_members() -> None:
    assert [send_cost(n) for n in (0, 1, 99, 100, 199, 200, 1024)] == [1, 1, 1, 2, 2, 3, 11]
