"""Cells: experiments that are run side by side, each in a folder named after all it depends on."""
