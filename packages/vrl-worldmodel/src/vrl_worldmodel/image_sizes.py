"""Which image sizes the encoder and the decoder can take, and the decoder's kernels for them."""

from __future__ import annotations

from vrl_core.errors import VRLError

STRIDE = 2
LEAST_KERNEL = 5
"""The decoder's smaller kernel; even sizes take the next one."""


def encoded_size(size: int, convolutions: int, kernel: int) -> int:
    """Return what `convolutions` of stride 2 without padding leave of `size` pixels."""
    for _ in range(convolutions):
        size = (size - kernel) // STRIDE + 1
    return size


def decoder_kernels(size: int, convolutions: int) -> tuple[int, tuple[int, ...]]:
    """Return the size the decoder starts from, and its kernels from there to `size` pixels.

    A transposed convolution of stride 2 makes 2(n - 1) + kernel of n pixels. Kernel 6 leads to
    the even sizes and 5 to the odd ones: 5, 5, 6, 6 for 64 pixels, as in DreamerV2.
    """
    kernels: list[int] = []
    for _ in range(convolutions):
        kernel = LEAST_KERNEL + (size % STRIDE == 0)
        kernels.insert(0, kernel)
        size = (size - kernel) // STRIDE + 1
    return size, tuple(kernels)


def smallest_size(convolutions: int) -> int:
    """Return the least number of pixels that this many convolutions can encode and decode."""
    return (1 << (convolutions + 2)) - 3  # the decoder's 2n + 3 from n = 1; the encoder takes less


def require_size(image_shape: tuple[int, int, int], convolutions: int) -> None:
    """Raise `VRLError` for images too small for this many convolutions, naming what would do."""
    height, width, _ = image_shape
    least = smallest_size(convolutions)
    if min(height, width) >= least:
        return
    fitting = [n for n in range(convolutions) if smallest_size(n) <= min(height, width)]
    most = max(fitting)
    way_out = "Use data with larger images"
    if most:
        way_out += f", or no more than {most} convolutions (model.channels)"
    raise VRLError(
        f"Images of {height}x{width} pixels are too small for {convolutions} convolutions: they "
        f"need at least {least}x{least}, as n of them need 2^(n+2) - 3. {way_out}."
    )
