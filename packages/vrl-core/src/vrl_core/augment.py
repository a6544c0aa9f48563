"""Random shifts of images, the augmentation of DrQ (Yarats et al. 2021)."""

from __future__ import annotations

import torch
from jaxtyping import Int, UInt8
from torch import Tensor


def random_shift(
    images: UInt8[Tensor, "batch stack height width channel"], padding: int
) -> UInt8[Tensor, "batch stack height width channel"]:
    """Move each image by whole pixels, up to `padding` in each direction.

    Rows and columns move independently; the frames of a stack move together. Border pixels are
    repeated into the gap. `padding` 0 returns the images as they are.
    """
    if padding == 0:
        return images
    # Drawn on the images' device: no host wait, and CUDA graphs draw anew at each replay.
    shifts = torch.randint(0, 2 * padding + 1, (len(images), 2), device=images.device)
    return shift(images, shifts, padding)


def shift(
    images: UInt8[Tensor, "batch stack height width channel"],
    shifts: Int[Tensor, "batch 2"],
    padding: int,
) -> UInt8[Tensor, "batch stack height width channel"]:
    """Crop each image, padded by its border, at row and column `shifts`, in [0, 2 padding].

    DrQ resamples float images bilinearly at these offsets. The offsets are whole pixels, so that
    is a crop, and stays exact on bytes. The result lies channel-first in memory, ready for the
    encoder, whatever its axes' order says.
    """
    height, width = images.shape[2:4]
    padded = replicate_pad(images.permute(0, 1, 4, 2, 3), padding)
    windows = padded.unfold(3, height, 1).unfold(4, width, 1)
    batch = torch.arange(len(images), device=images.device)
    rows, columns = shifts.unbind(1)
    return windows[batch, :, :, rows, columns].permute(0, 1, 3, 4, 2)


def replicate_pad(
    images: UInt8[Tensor, "batch stack channel height width"], padding: int
) -> UInt8[Tensor, "batch stack channel height+2*{padding} width+2*{padding}"]:
    """Surround images by copies of their border; torch's own padding does not take bytes."""
    batch, stack, channel, height, width = images.shape
    top, bottom = padding, padding + height
    left, right = padding, padding + width
    padded = images.new_empty(batch, stack, channel, bottom + padding, right + padding)
    padded[..., top:bottom, left:right] = images
    padded[..., top:bottom, :left] = images[..., :1]
    padded[..., top:bottom, right:] = images[..., -1:]
    padded[..., :top, :] = padded[..., top : top + 1, :]
    padded[..., bottom:, :] = padded[..., bottom - 1 : bottom, :]
    return padded
