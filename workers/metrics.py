"""What the work behind the gateway measures, for Prometheus.

Counted is once a batch or a group, as far as that says the same: each event would pay for more.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_AGES = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2000)


class Metrics:
    """`work` is the name of a role, `kind` that of an action or of a kind of partition."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        """Without a registry nobody sees it."""
        self.partitions_held = Gauge(
            "hansard_partitions_held",
            "Partitions that fall to this process.",
            ("work",),
            registry=registry,
        )
        self.commands = Counter(
            "hansard_commands",
            "Commands decided, by what was asked and what came of it.",
            ("kind", "outcome"),
            registry=registry,
        )
        self.refusals = Counter(
            "hansard_commands_refused", "Commands refused, by code.", ("code",), registry=registry
        )
        self.command_age = Histogram(
            "hansard_command_age_seconds",
            "Age of a group's oldest command when its decision begins.",
            buckets=_AGES,
            registry=registry,
        )
        self.group_size = Histogram(
            "hansard_group_commands",
            "Commands decided and committed at once.",
            buckets=_SIZES,
            registry=registry,
        )
        self.group_seconds = Histogram(
            "hansard_group_seconds",
            "Time from the beginning of a group's decision until it is durable.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.commit_seconds = Histogram(
            "hansard_commit_seconds",
            "Time of a commit to the log: a transaction.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.commit_failures = Counter(
            "hansard_commit_failures",
            "Groups of which nothing is known to be durable.",
            registry=registry,
        )
        self.batch_events = Histogram(
            "hansard_reader_batch_events",
            "Events that a reader of the log took at once.",
            ("work",),
            buckets=_SIZES,
            registry=registry,
        )
        self.batch_seconds = Histogram(
            "hansard_reader_batch_seconds",
            "Time that it spent on them.",
            ("work",),
            buckets=_SECONDS,
            registry=registry,
        )
        self.event_age = Histogram(
            "hansard_reader_age_seconds",
            "Age of the oldest of them when they were done with.",
            ("work", "kind"),
            buckets=_AGES,
            registry=registry,
        )
        self.lag = Gauge(
            "hansard_reader_lag_seconds",
            "Age of the oldest event that a reader has taken and is not done with.",
            ("work", "kind"),
            registry=registry,
        )
        self.outbox_tasks = Gauge(
            "hansard_outbox_tasks",
            "Tasks of the notifier that are due, 1,000 a partition at most.",
            ("outbox",),
            registry=registry,
        )
        self.outbox_age = Gauge(
            "hansard_outbox_age_seconds",
            "Time for which the oldest of them has been due.",
            ("outbox",),
            registry=registry,
        )
        self.lateness = Histogram(
            "hansard_schedule_lateness_seconds",
            "Time from when a scheduled message was due until it was sent.",
            buckets=_AGES,
            registry=registry,
        )
        self.scheduler_lag = Gauge(
            "hansard_scheduler_lag_seconds",
            "Time for which the oldest thing that is due has been, by kind.",
            ("kind",),
            registry=registry,
        )
