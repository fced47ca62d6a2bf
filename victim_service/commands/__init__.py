"""The commands of ``earshot-victim``, one file a noun."""
