"""Every alteration of proxy windows: a source of its own, and a link of a chain. One line each."""

from attacker.sources.amplify import AmplifySpec
from attacker.sources.filter import FilterSpec
from attacker.sources.mix_noise import MixNoiseSpec
from attacker.sources.pitch_shift import PitchShiftSpec
from attacker.sources.reverb import ReverbSpec
from attacker.sources.speed import SpeedSpec

LinkSpec = (
    AmplifySpec  # B1
    | PitchShiftSpec  # B2
    | SpeedSpec
    | FilterSpec
    | ReverbSpec
    | MixNoiseSpec
)
