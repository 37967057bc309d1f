# The six tasks of rexkit and the two of this plugin, on one mixture.
#   python tools/train.py plugins/rexkit-plugin-gui/configs/all_tasks_gui.py
_base_ = ["../../../configs/sft/all_tasks.py", "../../../configs/_base_/gui.py"]

train_data = [*_base_.train_data, *_base_.gui_sources]
test_data = [*_base_.test_data, *_base_.gui_tests]
