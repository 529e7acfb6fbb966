"""Learn NATS by running it: real servers under notebooks, shown, broken on purpose, and checked.

The names that notebooks use, each imported when it is first used. This file, `__main__` and
`environment` are read by whatever Python `python3 -m labkit` finds, so they keep to the standard
library.
"""

__version__ = "0.1.0"

_HOMES = {
    "doctor": "labkit.course.doctor",
    "ps": "labkit.course.labs",
    "stop": "labkit.course.labs",
    "reset": "labkit.course.workspace",
    "slides": "labkit.course.lecture",
    "start": "labkit.lab",
    "attach": "labkit.attached",
    "running": "labkit.servers.topology",
    "connect": "labkit.servers.contexts",
    "Lab": "labkit.lab",
    "trace": "labkit.views.trace",
    "LabError": "labkit.servers.errors",
    "TopologyError": "labkit.servers.errors",
    "check": "labkit.course.exercises",
    "hint": "labkit.course.exercises",
    "progress": "labkit.course.progress",
    "watch": "labkit.views.traffic",
    "watch_rates": "labkit.views.traffic",
    "watch_streams": "labkit.views.stream_tables",
    "watch_services": "labkit.views.services",
    "record": "labkit.views.record",
    "replay": "labkit.views.replay",
    "timeline": "labkit.views.timeline",
    "gaps": "labkit.views.timeline",
    "latency": "labkit.views.timeline",
    "PLOTS": "labkit.views.plots",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name):
    if name not in _HOMES:
        raise AttributeError("module 'labkit' has no attribute {!r}".format(name))
    import importlib

    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__():
    return __all__
