"""Honest traffic on a live service: driven at a rate, and what it loses to the defences."""
