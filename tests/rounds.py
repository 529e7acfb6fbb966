"""How often the tests that repeat something do so: a number in the environment, LABKIT_ROUNDS."""

from __future__ import annotations

import os

ROUNDS = int(os.environ.get("LABKIT_ROUNDS", "3"))
