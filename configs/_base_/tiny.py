# The embedded model: no download, no GPU.
model = dict(type="TinyVLM")
backend = dict(type="TransformersBackend", batch_size=50, max_new_tokens=96)
