"""`modelguard_s`: how many different answers 3,000 rows get, and how many the published list gives.

Rows are the softmax of normal logits, of standard deviation 6 (peaked), 2 and 1 (flat). The
published list depends on the order of the queries; ours is fixed. Nothing is timed, and every run
counts the same. Exits with 1 where ours gives more than 1.3 times as many.
"""

import sys

import numpy as np

from tests.support.shared_answers import different, published_answers, softmax_rows
from victim_service.defences import Asked, defend
from victim_service.defences.modelguard_s import ModelGuardSSpec

ROWS = 3000
MOST = 1.3
ASKED = Asked(b"s" * 32, "alice", "c" * 64, "soft", 1)


def main() -> int:
    """Print the table; return 1 where the limit is missed."""
    clips = np.arange(ROWS, dtype=np.float32)[:, np.newaxis]
    missed = False
    print("| labels | logits | epsilon | labels that lead | published list | `modelguard_s` |")
    print("|---|---|---|---|---|---|")
    for classes in (10, 30, 1251):
        for spread in (6.0, 2.0, 1.0):
            rows = softmax_rows(classes, spread, ROWS)
            leading = len(set(rows.argmax(axis=1).tolist()))
            for epsilon in (1.0, 0.5, 0.1):
                published = published_answers(rows, epsilon)
                ours = different(defend(rows, clips, (ModelGuardSSpec(epsilon=epsilon),), ASKED))
                missed |= ours > MOST * published
                cells = (classes, f"{spread:g}", epsilon, leading, f"{published:,}", f"{ours:,}")
                print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
