import pytest

from bitstream.types import DecoderConfig
from snerv_codec.errors import SettingsError
from snerv_codec.model.sizing import choose_config, choose_grid, model_cost, parse_size


@pytest.mark.parametrize(
    ("text", "expected"), [("3M", 3_000_000), ("350k", 350_000), ("0.35M", 350_000), ("1234", 1234), (".5m", 500_000)]
)
def test_sizes_are_read(text, expected):
    assert parse_size(text) == expected


@pytest.mark.parametrize("text", ["", "0", "3G", "-1M", "1e6", "three", "M"])
def test_other_sizes_are_refused(text):
    with pytest.raises(SettingsError, match="such as 3M"):
        parse_size(text)


@pytest.mark.parametrize(
    ("height", "width", "strides"),
    [
        (640, 1280, (5, 4, 2, 2, 2)),
        (960, 1920, (5, 4, 3, 2, 2)),
        (480, 960, (5, 3, 2, 2, 2)),
        (192, 384, (3, 2, 2, 2, 2)),
    ],
)
def test_the_papers_frames_get_the_papers_grid(height, width, strides):
    assert choose_grid(height, width) == (strides, (16, 2, 4))


def test_bunny_at_3m_is_the_papers_model():
    config = choose_config(640, 1280, 132, 3_000_000)
    assert config == DecoderConfig((16, 2, 4), (5, 4, 2, 2, 2), 111, 6)
    cost = model_cost(config, 132)
    assert (cost.decoder_parameters, cost.encoder_parameters) == (2_993_042, 257_008)
    assert cost.total_parameters == 3_010_202
    assert cost.decoder_macs == pytest.approx(90.10e9, abs=5e6)  # the paper counts the inverse wavelet too


@pytest.mark.parametrize(("budget", "blocks"), [("350k", 2), ("750k", 3), ("1.5M", 4), ("4.57M", 8), ("5.95M", 10)])
def test_depth_grows_with_size_as_in_the_paper(budget, blocks):
    config = choose_config(640, 1280, 132, parse_size(budget))
    assert config.blocks == blocks
    assert model_cost(config, 132).total_parameters == pytest.approx(parse_size(budget), rel=0.06)


@pytest.mark.parametrize(
    ("width", "height"),
    [(1920, 1080), (1280, 720), (480, 270), (200, 200), (176, 144), (33, 17), (16, 16), (1080, 1920)],
)
def test_any_size_is_covered_with_little_padding(width, height):
    strides, shape = choose_grid(height, width)
    padded = DecoderConfig(shape, strides, 20, 1).padded_size
    assert padded[0] >= height
    assert padded[1] >= width
    assert padded[0] * padded[1] <= 1.17 * width * height
    assert 64 <= shape[0] * shape[1] * shape[2] <= 512


def test_overrides_win():
    config = choose_config(192, 384, 33, 3_000_000, channels=41, blocks=2, strides=(4, 4, 3, 1, 1))
    assert (config.channels, config.blocks, config.strides) == (41, 2, (4, 4, 3, 1, 1))
    assert config.embedding_shape == (16, 2, 4)


def test_a_budget_below_the_embeddings_says_what_to_ask_for():
    with pytest.raises(SettingsError, match="the embeddings of 1000 frames take 130,000 .* ask for"):
        choose_config(640, 1280, 1000, 100_000)
    with pytest.raises(SettingsError, match="no such decoder"):
        choose_config(640, 1280, 10, 1_000_000, strides=(99, 1, 1, 1, 1))
