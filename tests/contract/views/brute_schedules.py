"""What the log says of scheduled messages, for the brute-force reader."""

from datetime import datetime, timedelta
from typing import Any

from tests.contract.views.brute_log import BruteLog, Event

Answer = dict[str, Any]

MADE = ("message.scheduled", "schedule.changed")


class BruteSchedules(BruteLog):
    def schedule_events(self, stream: str, schedule: str, *types: str) -> list[Event]:
        return [e for e in self.of(stream, *types) if e.data.get("schedule") == schedule]

    def withdrawn(self, e: Event) -> bool:
        """Whether an event holds the text of what was sent or cancelled since."""
        if e.type not in MADE:
            return False
        schedule = e.data["schedule"]
        fired = self.schedule_events(e.stream, schedule, "schedule.fired")
        cancelled = self.schedule_events(e.stream, schedule, "schedule.cancelled")
        return bool(cancelled) or any("seq" in one.data for one in fired)

    def schedule(self, made: Event) -> Answer:
        events = self.schedule_events(made.stream, made.data["schedule"])

        def newest(field: str) -> Event | None:
            having = [e for e in events if e.type in MADE and field in e.data]
            return having[-1] if having else None

        due, said, mentions = newest("due"), newest("content"), newest("mentions")
        assert due
        assert said
        assert mentions
        content, no_content = self.open(said, "content")
        metadata, no_metadata = self.open(made, "metadata")
        form = {
            "id": made.data["schedule"],
            "chat": made.data["chat"],
            "scheduled_for": due.data["due"],
            "status": "scheduled",
            "kind": made.data["kind"],
            "content": content,
            "metadata": metadata,
            "reply_to": made.data.get("reply_to"),
            "mentions": mentions.data["mentions"],
            "expires_in": made.data.get("expires_in"),
            "seq": None,
            "code": None,
        }
        lost = no_content or no_metadata
        for e in events:
            match e.type:
                case "schedule.claimed":
                    form["status"] = "sending"
                case "schedule.cancelled":
                    form["status"] = "cancelled"
                case "schedule.fired":
                    form["status"] = "sent" if "seq" in e.data else "failed"
                    form["seq"], form["code"] = e.data.get("seq"), e.data.get("refusal")
        if form["status"] in ("sent", "cancelled"):
            form |= {"content": None, "metadata": None, "mentions": []}
            lost = False
        return form | ({"erased": True} if lost else {})

    def schedules(self, user: str) -> list[Answer]:
        """What is listed: what waits, and what failed within a week."""
        lately = datetime.fromisoformat(self.now) - timedelta(days=7)
        listed = []
        for form in map(self.schedule, self.of(f"users/{user}", "message.scheduled")):
            due = datetime.fromisoformat(form["scheduled_for"])
            if form["status"] in ("scheduled", "sending") or (
                form["status"] == "failed" and due >= lately
            ):
                listed.append(form)
        return sorted(listed, key=lambda form: (form["scheduled_for"], form["id"]))
