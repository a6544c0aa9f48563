"""Random shifts: equal to DrQ's resampling, shared by a stack, different between images."""

import pytest
import torch
from torch.nn.functional import grid_sample, pad

from vrl_core.augment import random_shift, shift


def resampled(images: torch.Tensor, shifts: torch.Tensor, padding: int) -> torch.Tensor:
    """DrQ's formulation: bilinear resampling of float images `(batch, channel, size, size)`.

    `shifts` `(batch, 2)` are rows and columns; the grid wants (x, y).
    """
    size = images.shape[-1]
    padded = pad(images.float(), (padding,) * 4, "replicate")
    wide = size + 2 * padding
    line = torch.linspace(-1 + 1 / wide, 1 - 1 / wide, wide)[:size]
    base = torch.stack(torch.meshgrid(line, line, indexing="xy"), -1)
    offset = shifts.flip(1).float()[:, None, None] * 2 / wide
    return grid_sample(padded, base + offset, padding_mode="zeros", align_corners=False)


def test_shift_equals_bilinear_resampling_at_whole_pixels() -> None:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (9, 3, 13, 13, 3), dtype=torch.uint8, generator=generator)
    shifts = torch.stack((torch.arange(9), torch.arange(8, -1, -1)), 1)
    ours = shift(images, shifts, 4)
    theirs = resampled(images.permute(0, 1, 4, 2, 3).flatten(1, 2), shifts, 4)
    expected = theirs.unflatten(1, (3, 3)).permute(0, 1, 3, 4, 2)
    # Compared on the encoder's scale, where 1e-4 is a fortieth of a grey level.
    torch.testing.assert_close(ours / 255.0, expected / 255.0, atol=1e-4, rtol=0)


def test_shift_repeats_the_border_by_hand() -> None:
    image = torch.tensor([[1, 2, 3], [4, 5, 6], [7, 8, 9]], dtype=torch.uint8)
    images = image.view(1, 1, 3, 3, 1)
    down_right = shift(images, torch.tensor([[0, 0]]), 1).view(3, 3)
    assert down_right.tolist() == [[1, 1, 2], [1, 1, 2], [4, 4, 5]]
    still = shift(images, torch.tensor([[1, 1]]), 1).view(3, 3)
    assert still.tolist() == image.tolist()
    left_only = shift(images, torch.tensor([[1, 2]]), 1).view(3, 3)
    assert left_only.tolist() == [[2, 3, 3], [5, 6, 6], [8, 9, 9]]


def test_wide_images_keep_their_shape() -> None:
    images = torch.arange(2 * 5 * 7, dtype=torch.uint8).view(2, 1, 5, 7, 1)
    assert shift(images, torch.tensor([[4, 4], [4, 4]]), 4).equal(images)


def test_frames_of_a_stack_move_together_and_images_apart() -> None:
    torch.manual_seed(0)
    frame = torch.randint(0, 256, (1, 1, 16, 16, 3), dtype=torch.uint8)
    shifted = random_shift(frame.expand(64, 3, -1, -1, -1), 4)
    assert shifted[:, :1].expand(-1, 3, -1, -1, -1).equal(shifted)
    assert len({image.numpy().tobytes() for image in shifted}) > 30


def test_every_whole_shift_of_both_axes_is_drawn_equally_often() -> None:
    torch.manual_seed(0)
    # Where the one bright pixel of a padded image lands tells its shift.
    images = torch.zeros(20_000, 1, 9, 9, 1, dtype=torch.uint8)
    images[:, :, 4, 4] = 1
    landed = random_shift(images, 4).flatten(1).argmax(1)
    rows, columns = landed // 9, landed % 9
    for axis in (rows, columns):
        shares = torch.bincount(axis, minlength=9) / len(images)
        assert shares.sub(1 / 9).abs().max() < 0.01
    correlation = torch.corrcoef(torch.stack((rows, columns)).float())[0, 1]
    assert abs(correlation) < 0.03


def test_no_padding_is_no_augmentation() -> None:
    images = torch.randint(0, 256, (2, 3, 8, 8, 3), dtype=torch.uint8)
    assert random_shift(images, 0) is images


@pytest.mark.parametrize("padding", [1, 3])
def test_padding_bounds_the_shift(padding: int) -> None:
    images = torch.zeros(500, 1, 9, 9, 1, dtype=torch.uint8)
    images[:, :, 4, 4] = 1
    landed = random_shift(images, padding).flatten(1).argmax(1)
    assert (landed // 9 - 4).abs().max() == padding
