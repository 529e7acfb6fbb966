"""A server's log, read from its files: live, searchable, never held in memory as a whole."""

from __future__ import annotations

import re
from pathlib import Path

TAIL_BYTES = 200_000  # read from the end of a log; more than any start writes


class Log:
    """What a server wrote: its log file, and before it what it printed while reading its settings."""

    def __init__(self, path: Path, printed: Path) -> None:
        self.path, self.printed = path, printed
        self._begun = 0

    def begin(self) -> None:
        """Note that a start begins here: what it complains of stands behind this place."""
        self.printed.unlink(missing_ok=True)
        self._begun = self.path.stat().st_size if self.path.exists() else 0

    def since_start(self, pattern: str) -> list[str]:
        """As `find`, in what was written since the last start."""
        wanted = re.compile(pattern, re.IGNORECASE)
        text = _tail(self.printed) + _tail(self.path, self._begun)
        return [line for line in text.splitlines() if line.strip() and wanted.search(line)]

    def text(self) -> str:
        """The last 200,000 bytes of what the server wrote, oldest first."""
        return "".join(_tail(path) for path in (self.printed, self.path))

    def lines(self, last: int | None = None) -> list[str]:
        """The lines of `text()`, or only the `last` ones."""
        lines = [line for line in self.text().splitlines() if line.strip()]
        return lines[-last:] if last else lines

    def find(self, pattern: str) -> list[str]:
        """The lines in which the regular expression `pattern` matches, upper or lower case."""
        wanted = re.compile(pattern, re.IGNORECASE)
        return [line for line in self.lines() if wanted.search(line)]

    def complaints(self) -> list[str]:
        """The fatal lines; else the errors; else the last five lines: why a server did not start."""
        printed = [line for line in _tail(self.printed).splitlines() if line.strip()]
        for pattern in (r"\[FTL\]", r"\[ERR\]", ""):
            printed = printed or self.since_start(pattern)[-5:]
        return printed

    def __repr__(self) -> str:
        return "\n".join(self.lines(20)) or "(the log is empty)"


def _tail(path: Path, start: int = 0) -> str:
    """The end of a file, from `start` on; a file that is shorter by now is a new one."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(start if start <= size else 0, size - TAIL_BYTES))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
