"""How a host reads the log: one protocol, one session, and a file for each way to carry it (cable.py)."""
