"""The HTTP face of the victim."""
