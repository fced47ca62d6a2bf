"""Servers of other projects with the same network, run in an environment of their own."""
