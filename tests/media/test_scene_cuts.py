"""Where scenes begin: at a hard change, in pictures of any size, and nowhere else."""

import numpy as np
import pytest
from clips import moving_picture

from snerv_codec.media.scenes import scene_cuts


@pytest.mark.parametrize(("height", "width"), [(48, 64), (721, 1443), (12, 2000), (2000, 12)])
def test_a_scene_begins_at_a_hard_change_whatever_the_size(height, width):
    first, second = moving_picture(6, height, width), 255 - moving_picture(5, height, width)
    assert scene_cuts(np.concatenate([first, second])) == [6]


def test_what_moves_begins_no_scene():
    assert scene_cuts(moving_picture(12, 540, 960)) == []
    assert scene_cuts(moving_picture(1, 540, 960)) == []
    assert scene_cuts([]) == []
