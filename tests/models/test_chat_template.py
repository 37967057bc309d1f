"""A chat template that lies beside the tokenizer, as transformers 4 saved processors."""

from __future__ import annotations

import json

import pytest

from rexkit import Predictor
from rexkit.errors import ConfigError
from rexkit.models import PretrainedVLM


@pytest.fixture
def moved(checkpoint):
    """A checkpoint whose template is in chat_template.json alone."""
    expected = PretrainedVLM(str(checkpoint)).encoder.chat("Hi.")
    template = (checkpoint / "chat_template.jinja").read_text()
    (checkpoint / "chat_template.jinja").unlink()
    assert "chat_template" not in json.loads((checkpoint / "tokenizer_config.json").read_text())
    (checkpoint / "chat_template.json").write_text(json.dumps({"chat_template": template}))
    return checkpoint, expected


def test_it_is_found_and_saved_again(moved, tmp_path):
    folder, expected = moved
    vlm = PretrainedVLM(str(folder))
    assert vlm.encoder.chat("Hi.") == expected
    vlm.save(tmp_path / "again")
    (tmp_path / "again" / "chat_template.json").unlink(missing_ok=True)
    assert PretrainedVLM(str(tmp_path / "again")).encoder.chat("Hi.") == expected


def test_the_predictor_takes_it(moved):
    predictor = Predictor(str(moved[0]), max_new_tokens=1)
    assert predictor.vlm.encoder.chat("Hi.") == moved[1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "has no chat template"),
        ("nonsense", r"chat_template\.json: .*expected"),
        ("{}", r"chat_template\.json: .*expected"),
        ('{"chat_template": 3}', "must be a text, got int"),
    ],
)
def test_without_a_template(moved, content, message):
    file = moved[0] / "chat_template.json"
    file.unlink()
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigError, match=message):
        PretrainedVLM(str(moved[0]))
