"""What runs: real nats-server processes, started from plain config files and ended with their owner.

Imports no notebook, plotting or pandas code, so that it works in a plain script and in pytest.
"""
