"""Training samples are those of the public fine-tuning code, token for token."""

from __future__ import annotations

from pathlib import Path

from benchmarks.fidelity.training import NUM_HELD, digest, drawn_images, our_samples, write_tsv

# Of what the public code (IDEA-Research/Rex-Omni at 478e44f) makes of drawn images;
# `python -m benchmarks.fidelity.training PUBLIC` runs it again.
PUBLIC = "4640500c4777862892d893484b898f745bf13a543e1595975367ee4fe0ee0b78"


def test_training_samples_are_those_of_the_public_code(tmp_path: Path) -> None:
    assert digest(our_samples(write_tsv(drawn_images(tmp_path, NUM_HELD), tmp_path))) == PUBLIC
