"""One example and more of every defence: a new row of the table needs one here.

The first one of each kind is the one whose time is taken.
"""

from victim_service.defences import DefenceSpec
from victim_service.defences.adaptive_misinformation import AdaptiveMisinformationSpec
from victim_service.defences.confidence_buckets import ConfidenceBucketsSpec
from victim_service.defences.dawn import DawnSpec
from victim_service.defences.deceptive_labels import DeceptiveLabelsSpec
from victim_service.defences.gradient_redirection import GradientRedirectionSpec
from victim_service.defences.label_only import LabelOnlySpec
from victim_service.defences.mad import MadSpec
from victim_service.defences.modelguard_s import ModelGuardSSpec
from victim_service.defences.modelguard_w import ModelGuardWSpec
from victim_service.defences.noise import NoiseSpec
from victim_service.defences.proof_of_work import ProofOfWorkSpec
from victim_service.defences.reverse_sigmoid import ReverseSigmoidSpec
from victim_service.defences.rounding import RoundingSpec
from victim_service.defences.temperature import TemperatureSpec
from victim_service.defences.top_k import TopKSpec

EXAMPLES: dict[str, tuple[DefenceSpec, ...]] = {
    "adaptive_misinformation": (
        AdaptiveMisinformationSpec(tau=0.6),
        AdaptiveMisinformationSpec(tau=0.9, nu=10.0),
        AdaptiveMisinformationSpec(tau=1.0, nu=1e6),
    ),
    "confidence_buckets": (
        ConfidenceBucketsSpec(),
        ConfidenceBucketsSpec(low=0.01, mid_from=0.02, mid=0.02, high_from=1.0, high=1.0),
    ),
    "dawn": (DawnSpec(rate=0.2), DawnSpec(rate=0.5)),
    "deceptive_labels": (
        DeceptiveLabelsSpec(delta=0.3, privacy=0.5),
        DeceptiveLabelsSpec(delta=1.0, privacy=0.01, labels=5),
    ),
    "gradient_redirection": (
        GradientRedirectionSpec(epsilon=1.0),
        GradientRedirectionSpec(epsilon=0.2, direction="fixed"),
        GradientRedirectionSpec(epsilon=2.0, direction="fixed", preserve_argmax=False),
        GradientRedirectionSpec(epsilon=1.0, preserve_argmax=False),
    ),
    "label_only": (LabelOnlySpec(),),
    "mad": (
        MadSpec(epsilon=1.0),
        MadSpec(epsilon=2.0, variant="extreme"),
        MadSpec(epsilon=0.3, variant="extreme", spread=3.0),
    ),
    "modelguard_s": (ModelGuardSSpec(epsilon=1.0), ModelGuardSSpec(epsilon=0.05)),
    "modelguard_w": (
        ModelGuardWSpec(epsilon=1.0),
        ModelGuardWSpec(epsilon=0.01, margin=0.005),
        ModelGuardWSpec(epsilon=2.0),
    ),
    "noise": (
        NoiseSpec(scale=0.1),
        NoiseSpec(distribution="uniform", scale=0.3, epsilon=0.2),
        NoiseSpec(distribution="uniform", added_to="logits", scale=2.0, preserve_argmax=True),
        NoiseSpec(added_to="logits", scale=1.5, epsilon=0.5, preserve_argmax=True),
        NoiseSpec(distribution="dirichlet", scale=0.3),
        NoiseSpec(distribution="dirichlet", scale=0.7, epsilon=1.0, preserve_argmax=True),
    ),
    "proof_of_work": (ProofOfWorkSpec(), ProofOfWorkSpec(bits=8, base=1.2, most_bits=16)),
    "reverse_sigmoid": (
        ReverseSigmoidSpec(beta=0.0016, gamma=0.2),  # 2 / 1,251
        ReverseSigmoidSpec(beta=1.0, gamma=0.1, preserve_argmax=False),
        ReverseSigmoidSpec(beta=1.0, gamma=1.0, epsilon=0.5),
    ),
    "rounding": (RoundingSpec(decimals=2), RoundingSpec(decimals=6)),
    "temperature": (
        TemperatureSpec(temperature=2.0),
        TemperatureSpec(temperature=0.05),
        TemperatureSpec(temperature=100.0),
    ),
    "top_k": (TopKSpec(k=5), TopKSpec(k=1, rest="renormalise"), TopKSpec(k=2, rest="renormalise")),
}
