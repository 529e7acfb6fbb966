"""Errors that are meant to be read by people: one sentence or two, with the next step in it."""

from __future__ import annotations


class LabError(Exception):
    """What went wrong, where, and what to do next. Base of every error that labkit raises itself."""

    def _render_traceback_(self) -> list[str]:
        """Lines that IPython shows in place of a traceback: the sentence is what helps."""
        return [f"{type(self).__name__}: {self}"]


class BinaryError(LabError):
    """No usable nats-server: not found, not executable, or too old."""


class ConfigError(LabError):
    """A server file that cannot be used; the text names the file and the line."""


class TopologyError(LabError):
    """A topology that could not be found, started or made usable; everything it had started is stopped."""


class ServerStateError(LabError):
    """A server asked to do what its state does not allow: start a running one, reload a stopped one."""


class NotInTimeError(LabError):
    """A condition that did not come true before its deadline."""
