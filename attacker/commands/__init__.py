"""The commands of `earshot-attacker`, one file each."""
