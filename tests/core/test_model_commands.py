"""`pysr-neural model`: the card, the sizes, the copy of a checkpoint."""

import pytest

from pysr_neural.errors import CheckpointError, ConfigError
from pysr_neural.model.commands import main


def test_the_bundled_card_says_how_it_was_made_and_what_was_measured(capsys):
    assert main(["card"]) == 0
    said = capsys.readouterr().out
    for name in ("command: pysr-neural train", "seed: ", "examples: ", "vocabulary_hash: ", "metrics", "recovered"):
        assert name in said


def test_sizes_are_read_off_the_files(capsys):
    assert main(["inspect"]) == 0
    assert "width 128" in capsys.readouterr().out


def test_an_exported_checkpoint_is_read_by_from_pretrained(tmp_path, capsys):
    from pysr_neural.model.policy import ProposerModel

    out = tmp_path / "copy"
    assert main(["export", "--out", str(out)]) == 0
    assert str(out) in capsys.readouterr().out
    assert ProposerModel.from_pretrained(out).config.width == 128
    with pytest.raises(ConfigError, match="new or empty directory"):
        main(["export", "--out", str(out)])
    with pytest.raises(ConfigError, match="--out"):
        main(["export"])


@pytest.mark.parametrize(("card", "said"), [(None, "has none"), ("{", "must be JSON")])
def test_a_missing_or_broken_card_is_explained(tmp_path, card, said):
    out = tmp_path / "copy"
    main(["export", "--out", str(out)])
    (out / "card.json").unlink()
    if card is not None:
        (out / "card.json").write_text(card)
    with pytest.raises(CheckpointError, match=said):
        main(["card", str(out)])
