# Fine-tune the embedded model on synthetic screenshots: a box around an element, or a point on it.
#   pip install ./plugins/rexkit-plugin-gui
_base_ = ["../_base_/tiny_sft.py", "../_base_/gui.py"]

train_data = _base_.gui_sources
test_data = _base_.gui_tests
trainer = dict(coord_sigma=(6.0, 4.0))
