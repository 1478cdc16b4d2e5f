"""Retrostep's host tool: everything that runs on a laptop, including the virtual board."""

__version__ = "0.1.0"
