"""Who is connected: the room's services on its hub, and simulated neighbours for one who is alone."""

from labkit.room.simulation import Room, ask_service, current, simulate

__all__ = ["Room", "ask_service", "current", "simulate"]
