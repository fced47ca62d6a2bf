"""The WaveGAN generator and critic: convolutions of 25 taps at stride 4, time-major throughout.

Tensors between the stages are (B, T, C). A stride-4 convolution over them equals a stride-1
convolution of 7 taps over blocks of four samples, and in this layout forming the blocks is a view.
The CPU kernels for stride 1 with channels last train this network two to three times faster than
the strided ones; the parameters keep the published shapes.

Reference: Donahue, McAuley, Puckette, "Adversarial Audio Synthesis" (2019), tables 3 and 4.
"""

import itertools
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

TAPS = 25
STRIDE = 4
FIRST_STEPS = 16
SLOPE = 0.2
_BLOCK_TAPS = 7
_BLOCK_PADDING = 3


def count_stages(samples: int) -> int:
    """Return n with ``samples == 16 * 4**n``: the number of stages of either network.

    Raises:
        ValueError: no such n of at least 1 exists.
    """
    stages = round(math.log(max(samples, 1) / FIRST_STEPS, STRIDE))
    if stages < 1 or FIRST_STEPS * STRIDE**stages != samples:
        raise ValueError(
            f"clip_samples must be 16 * 4**n, not {samples}: choose 4096 (n=4) or 16384 (n=5)."
        )
    return stages


class Downsample(nn.Module):
    """Convolution of 25 taps at stride 4, padding 11: (B, T, C) -> (B, T/4, C_out)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs, TAPS))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, *, with_bias: bool = True) -> Tensor:
        """Return the convolution of ``x``; without the bias it is the linear map alone."""
        blocks = x.reshape(x.shape[0], x.shape[1] // STRIDE, -1)
        return _convolve(blocks, _to_blocks(self.weight), self.bias if with_bias else None)


class Upsample(nn.Module):
    """Transposed convolution, 25 taps, stride 4, padding 11: (B, T, C) -> (B, 4T, C_out)."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs, TAPS))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self._held: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Return the transposed convolution of ``x`` (output padding 1)."""
        kernel, bias = self._held or self._over_blocks()
        blocks = _convolve(x, kernel, bias)
        return blocks.reshape(x.shape[0], x.shape[1] * STRIDE, -1)

    @torch.no_grad()
    def hold(self) -> None:
        """Make the kernel over blocks once and for all: later changes of the weights are lost."""
        kernel, bias = self._over_blocks()
        self._held = kernel.contiguous(memory_format=torch.channels_last), bias

    def _over_blocks(self) -> tuple[Tensor, Tensor]:
        return _to_blocks(self.weight).flip(3).transpose(0, 1), self.bias.repeat(STRIDE)


class Generator(nn.Module):
    """Latent (B, latent), uniform in [-1, 1] -> waveform (B, samples) in [-1, 1]."""

    def __init__(self, dim: int, latent: int, samples: int) -> None:
        super().__init__()
        stages = count_stages(samples)
        widths = [dim * 2**stage for stage in reversed(range(stages))]
        self.latent, self.samples = latent, samples
        self.project = nn.Linear(latent, FIRST_STEPS * widths[0])
        self.stages = nn.ModuleList(
            Upsample(inputs, outputs)
            for inputs, outputs in zip(widths, [*widths[1:], 1], strict=True)
        )

    def forward(self, z: Tensor) -> Tensor:
        """Return the waveforms of the latents ``z``."""
        spare = not torch.is_grad_enabled()  # no memory for what nobody will differentiate
        x = F.relu(self.project(z), inplace=spare).reshape(z.shape[0], FIRST_STEPS, -1)
        last = len(self.stages) - 1
        for number, stage in enumerate(self.stages):
            x = stage(x)
            if number < last:
                x = F.relu(x, inplace=spare)
        return (x.tanh_() if spare else x.tanh()).squeeze(2)

    def hold(self) -> None:
        """Get ready to make many clips, a fifth faster and the same ones, and to learn no more."""
        for stage in self.stages:
            if isinstance(stage, Upsample):
                stage.hold()


class Critic(nn.Module):
    """Waveform (B, samples) -> score (B,): higher for what looks real."""

    def __init__(self, dim: int, samples: int) -> None:
        super().__init__()
        count = count_stages(samples)
        widths = [1, *(dim * 2**stage for stage in range(count))]
        self.samples = samples
        self.stages = nn.ModuleList(
            Downsample(inputs, outputs) for inputs, outputs in itertools.pairwise(widths)
        )
        self.head = nn.Linear(FIRST_STEPS * widths[-1], 1)

    @property
    def shuffles(self) -> int:
        """How many phase shifts one call takes: one after each stage but the last."""
        return len(self.stages) - 1

    def forward(self, wave: Tensor, shifts: Sequence[int] = ()) -> Tensor:
        """Return the scores; ``shifts`` are the phase shuffles (none when empty)."""
        return self.trace(wave, shifts)[0]

    def trace(self, wave: Tensor, shifts: Sequence[int] = ()) -> tuple[Tensor, list[Tensor]]:
        """Return the scores and each stage's activations (B, T, C) before its phase shuffle."""
        x, activations = wave.unsqueeze(2), []
        for number, stage in enumerate(self.stages):
            x = F.leaky_relu(stage(x), SLOPE)
            activations.append(x)
            x = _shuffled(x, shifts, number)
        return self.head(x.flatten(1)).squeeze(1), activations

    def tangent(self, wave: Tensor, activations: Sequence[Tensor], shifts: Sequence[int]) -> Tensor:
        """Return the derivative of the scores along ``wave`` at the point of ``activations``.

        The critic is piecewise linear, so this is its own forward pass without biases and with the
        slopes of the activations held: (B, samples) -> (B,).
        """
        x = wave.unsqueeze(2)
        for number, (stage, held) in enumerate(zip(self.stages, activations, strict=True)):
            x = stage(x, with_bias=False)
            # On the CPU this operator is many times faster than torch.where.
            x = torch.ops.aten.leaky_relu_backward(x, held, SLOPE, True)
            x = _shuffled(x, shifts, number)
        return F.linear(x.flatten(1), self.head.weight).squeeze(1)


def initialise(module: nn.Module, rng: torch.Generator) -> None:
    """Fill ``module`` in place: Glorot-uniform weights, zero biases."""
    for name, parameter in module.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        else:
            nn.init.xavier_uniform_(parameter, generator=rng)


def phase_shuffle(x: Tensor, shift: int) -> Tensor:
    """Shift (B, T, C) by ``shift`` samples to the right, the edge filled by reflection.

    One shift is shared by the whole batch, as in the published code.
    """
    if shift > 0:
        return torch.cat([x[:, 1 : shift + 1].flip(1), x[:, :-shift]], dim=1)
    if shift < 0:
        return torch.cat([x[:, -shift:], x[:, shift - 1 : -1].flip(1)], dim=1)
    return x


def _shuffled(x: Tensor, shifts: Sequence[int], number: int) -> Tensor:
    return phase_shuffle(x, shifts[number]) if number < len(shifts) else x


def _to_blocks(weight: Tensor) -> Tensor:
    """(A, C, 25) taps over samples -> (A, 4C, 1, 7) taps over blocks of four samples."""
    padded = F.pad(weight, (1, _BLOCK_TAPS * STRIDE - TAPS - 1))
    split = padded.reshape(*weight.shape[:2], _BLOCK_TAPS, STRIDE).permute(0, 3, 1, 2)
    return split.reshape(weight.shape[0], STRIDE * weight.shape[1], 1, _BLOCK_TAPS)


def _convolve(x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """Same-length convolution of (B, T, C) with (C_out, C, 1, 7) -> (B, T, C_out)."""
    kernel = kernel.contiguous(memory_format=torch.channels_last)
    image = x.transpose(1, 2).unsqueeze(2)
    out = F.conv2d(image, kernel, bias, padding=(0, _BLOCK_PADDING))
    return out.squeeze(2).transpose(1, 2)
