import math

import pytest

from snerv_codec.errors import SettingsError
from snerv_codec.model.architectures import paper_config
from snerv_codec.model.sizing import choose_config, model_cost, parse_size


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
    config = choose_config(height, width, 1, 1, channels=20)
    assert (config.strides, config.embedding_shape) == (strides, (16, 2, 4))


def test_bunny_at_3m_is_the_papers_model():
    config = choose_config(640, 1280, 132, 3_000_000)
    assert config == paper_config((16, 2, 4), (5, 4, 2, 2, 2), 111, 6)
    cost = model_cost(config, 132)
    assert (cost.decoder_parameters, cost.encoder_parameters) == (2_993_042, 257_008)
    assert cost.total_parameters == 3_010_202
    assert cost.decoder_macs == pytest.approx(90.10e9, abs=5e6)  # the paper counts the inverse wavelet too


def test_bunny_at_3m_is_the_papers_temporal_model_with_its_embeddings_counted():
    config = choose_config(640, 1280, 132, 3_000_000, model="t")
    assert config == paper_config((16, 2, 4), (5, 4, 2, 2, 2), 103, 6, "t", (3, 20, 40))
    assert model_cost(config, 132).total_parameters == 2_340_605 + 650_760
    flat = choose_config(640, 1280, 132, 3_000_000, model="t2d")
    assert flat.widths[0] < 103
    assert model_cost(flat, 132).total_parameters == pytest.approx(3e6, rel=0.02)


@pytest.mark.parametrize(
    ("budget", "frames", "expected"),
    [
        ("350k", 132, (5, 10)),  # the paper's, table 9
        ("750k", 132, (5, 10)),
        ("1.5M", 132, (10, 20)),
        ("3M", 132, (20, 40)),
        ("5.95M", 132, (20, 40)),
        ("3M", 600, (10, 20)),  # a long video must not spend all it has on them
        ("3M", 6000, (2, 4)),
    ],
)
def test_the_size_of_temporal_embeddings_follows_budget_and_length(budget, frames, expected):
    config = choose_config(640, 1280, frames, parse_size(budget), model="t")
    assert config.temporal_shape == (3, *expected)


@pytest.mark.parametrize(("height", "width"), [(1080, 1920), (720, 1280), (200, 200), (33, 17), (16, 16)])
@pytest.mark.parametrize("frames", [1, 2, 100])
def test_temporal_embeddings_fit_any_frame(height, width, frames):
    config = choose_config(height, width, frames, 1_000_000, model="t")
    assert config.temporal_scale >= 1
    spent = 2 * math.prod(config.temporal_shape) * frames
    assert spent <= 0.25e6


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
    config = choose_config(height, width, 1, 1, channels=20)
    padded, shape = config.padded_size, config.embedding_shape
    assert padded[0] >= height
    assert padded[1] >= width
    assert padded[0] * padded[1] <= 1.17 * width * height
    assert 64 <= shape[0] * shape[1] * shape[2] <= 512


def test_overrides_win():
    config = choose_config(192, 384, 33, 3_000_000, channels=41, blocks=2, strides=(4, 4, 3, 1, 1))
    assert (config.widths[0], config.blocks, config.strides) == (41, 2, (4, 4, 3, 1, 1))
    assert config.embedding_shape == (16, 2, 4)


@pytest.mark.parametrize("model", ["b", "t", "pixel"])
def test_an_embedding_of_ones_own_gets_strides_that_lead_to_the_frame(model):
    config = choose_config(96, 192, 10, 150_000, embedding=(4, 4, 8), model=model)
    assert config.embedding_shape == (4, 4, 8)
    assert config.padded_size == (96, 192)
    wide = choose_config(90, 200, 10, 150_000, embedding=(3, 5, 9), model=model)
    assert wide.padded_size[0] >= 90
    assert wide.padded_size[1] >= 200
    assert choose_config(96, 192, 10, 150_000, embedding=(4, 6, 12), strides=(4, 2, 2, 1, 1)).strides[0] == 4


def test_embeddings_that_do_not_make_the_frame_are_refused():
    with pytest.raises(SettingsError, match="strides 2,2,2,1,1 do not lead from an embedding of 4x4x8 to .* 192x96"):
        choose_config(96, 192, 10, 150_000, embedding=(4, 4, 8), strides=(2, 2, 2, 1, 1))
    with pytest.raises(SettingsError, match="no strides lead from an embedding of 4x1x1 to"):
        choose_config(1000, 1000, 10, 150_000, embedding=(4, 1, 1), model="pixel")
    with pytest.raises(SettingsError, match="not three positive sizes"):
        choose_config(96, 192, 10, 150_000, embedding=(4, 0, 8))


def test_a_budget_below_the_embeddings_says_what_to_ask_for():
    with pytest.raises(SettingsError, match="the embeddings of 1000 frames take 130,000 .* ask for"):
        choose_config(640, 1280, 1000, 100_000)
    with pytest.raises(SettingsError, match="no such decoder"):
        choose_config(640, 1280, 10, 1_000_000, strides=(99, 1, 1, 1, 1))
