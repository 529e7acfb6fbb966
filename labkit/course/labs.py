"""The labs that run on this machine, seen and ended from a terminal or from a cell."""

from __future__ import annotations

from labkit.servers.errors import LabError
from labkit.servers.processes import LabRecord, every_lab, stop_lab

NONE = "no lab runs on this machine"
HEADING = f"{'owner':>8}  {'since':<8}  lab: servers (with their process ids)"


class Labs(list[LabRecord]):
    """Labs, oldest first; shows itself as a line a lab under a heading."""

    def __repr__(self) -> str:
        return "\n".join([HEADING, *map(_line, self)]) if self else NONE


def _line(record: LabRecord) -> str:
    since = record.started.astimezone().strftime("%H:%M:%S")
    servers = ", ".join(f"{name} ({pid})" for name, pid in record.servers.items())
    return f"{record.owner_pid:>8}  {since}  {record.topology}: {servers}  of {record.owner}"


def ps() -> Labs:
    """The labs of this user, each with its owner's process id, its servers and its owner."""
    return Labs(every_lab())


def stop(*owners: int | str) -> None:
    """End the labs that these processes own (ids as `ps` shows them), or each lab with "all".

    Says what it stopped. Raises LabError for an owner that has no lab; then nothing is ended.
    """
    labs = ps()
    unknown = set(owners) - {record.owner_pid for record in labs} - {"all"}
    if unknown:
        names = ", ".join(sorted(map(str, unknown)))
        raise LabError(f"no lab is owned by {names}; ps shows the owners of labs")
    if not owners:
        raise LabError('give an owner\'s process id, as ps shows it, or "all"')
    for record in labs:
        if "all" in owners or record.owner_pid in owners:
            stop_lab(record)
            print(f"stopped {record.topology} of {record.owner}")
    if not labs:
        print(NONE)
