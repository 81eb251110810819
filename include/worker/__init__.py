"""Runs work units; ``__version__`` is Reelflow's, told in reports."""

__version__ = "0.1.0"
