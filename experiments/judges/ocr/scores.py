"""What the recogniser read, and how far its frames are from those under exact attention."""

import numpy as np

BLANK = 0


def alphabet(path):
    """Character of each class: the blank of connectionist temporal classification, those of the file,
    and the space."""
    with open(path, encoding="utf-8") as file:
        return [""] + [line.rstrip("\n") for line in file] + [" "]


def read_text(logits, characters):
    """The best class of each frame, repeats and blanks taken out (greedy decoding)."""
    best = logits.argmax(axis=1)
    starts = np.concatenate([[True], best[1:] != best[:-1]])
    return "".join(characters[k] for k in best[starts & (best != BLANK)])


def edits(read, printed):
    """Edit distance to the printed characters, and their number. Spaces do not count: they are not
    printed."""
    import Levenshtein  # here, so that tables and tests do without the judge's packages
    read, printed = read.replace(" ", ""), printed.replace(" ", "")
    return Levenshtein.distance(read, printed), len(printed)


class ExactFrames:
    """Class distributions [frames, classes] of the whole graph, and the distance of others from
    them. Sums over classes are in float32, which leaves divergences uncertain by some 1e-6."""

    def __init__(self, probabilities):
        self.probabilities = probabilities
        logs = np.log(np.where(probabilities > 0, probabilities, 1))
        self.negative_entropy = np.einsum("fc,fc->f", probabilities, logs)
        self.sums = probabilities.sum(axis=1)

    def divergence(self, logits):
        """Mean over frames of KL(exact || softmax(logits)), in nats."""
        shifted = logits - logits.max(axis=1, keepdims=True)
        crossed = np.einsum("fc,fc->f", self.probabilities, shifted)
        log_sum = np.log(np.exp(shifted, out=shifted).sum(axis=1))
        frames = self.negative_entropy - crossed + self.sums * log_sum
        return float(frames.mean(dtype=np.float64))

    def largest_difference(self, logits):
        """Of one probability of one frame."""
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return float(np.abs(powers / powers.sum(axis=1, keepdims=True) - self.probabilities).max())


def relative_errors(out, exact):
    """Relative Frobenius error of each head: [batch, heads] of arrays [batch, heads, n, dim]."""
    difference = np.linalg.norm(out.astype(np.float64) - exact, axis=(2, 3))
    return difference / np.linalg.norm(exact.astype(np.float64), axis=(2, 3))
