"""What was sent beside what came: lost, strange, doubled, shuffled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Any


def compare(
    sent: Sequence[Hashable], came: Sequence[Hashable], by: Callable[[Any], Any]
) -> dict[str, list[Any]]:
    """What was lost, strange, doubled; and the senders whose items all came just once, but shuffled."""
    wanted, counted = Counter(sent), Counter(came)
    more, order = counted - wanted, dict[Any, tuple[list[Any], list[Any]]]()
    for which, items in enumerate((sent, came)):
        for item in items:
            if item in wanted:
                order.setdefault(by(item), ([], []))[which].append(item)
    return {
        "lost": list((wanted - counted).elements()),
        "strange": [item for item in more if item not in wanted],
        "doubled": [item for item in more if item in wanted],
        "shuffled": [w for w, (a, b) in order.items() if a != b and Counter(a) == Counter(b)],
    }
