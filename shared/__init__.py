"""What both sides import: the wire, audio, corpora, networks, the fit loop and checkpoints."""
