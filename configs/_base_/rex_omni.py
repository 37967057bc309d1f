# Checkpoints of a few billion parameters on GPUs.
model = dict(
    type="PretrainedVLM",
    path="IDEA-Research/Rex-Omni",
    dtype="bfloat16",
    min_pixels=16 * 28 * 28,
    max_pixels=2560 * 28 * 28,
    max_length=8192,
)
# Sampling as in the public inference code.
backend = dict(
    type="TransformersBackend", batch_size=8, max_new_tokens=4096, repetition_penalty=1.05
)
