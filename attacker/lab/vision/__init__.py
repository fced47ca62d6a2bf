"""The vision control of figure 1: partial extraction of an image classifier, in this process.

The wire carries audio alone, so no victim service, key or budget takes part: this is a control of
the laboratory, and not an attack.
"""
