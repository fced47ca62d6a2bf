"""Tables: the rows of a published table as cells that run, with what the paper printed beside."""

VICTIM_VARIABLE = "EARSHOT_VICTIM"
"""Names the victim's checkpoint folder in the paths of an experiment, where one is granted."""
