"""The attacker: knows a URL, a key and a proxy corpus, and trains a surrogate of the victim."""
