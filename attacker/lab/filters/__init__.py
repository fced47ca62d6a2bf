"""What the filters of a network listen for, and which filters of two networks are alike."""

from attacker.lab.filters.maximise import MaximiseSettings
from attacker.lab.filters.model import FilterModel, choose_layers, load_model
from attacker.lab.filters.study import FilterStudy

__all__ = ["FilterModel", "FilterStudy", "MaximiseSettings", "choose_layers", "load_model"]
