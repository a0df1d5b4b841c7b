"""One training step: `n_dis` discriminator updates, one generator update, one update of the average."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from sagan.nn import build_discriminator, build_generator, without_spectral_norm
from sagan.nn.attention import gammas
from sagan.nn.orthogonality import orthogonality
from sagan.nn.spectral import advance_power_iteration, sigmas
from sagan.objectives import OBJECTIVES, gradient_penalty, r1_penalty
from sagan.training.augment import augmented
from sagan.training.batches import Noise, RealBatches, derived_seed
from sagan.training.ema import Ema

PENALTIES = ("gradient_penalty", "r1", "orthogonal")


class Trainer:
    """Both networks, their optimisers and the generator's average: all that a checkpoint must hold.

    Args:
        config: a run's complete configuration (`sagan.plan.Run.config`).
        labels: each training image's class, int64 [N], where the variant is conditional.
    """

    def __init__(self, config: dict[str, Any], device: torch.device, labels: np.ndarray | None = None) -> None:
        variant, training = config["variant"], config["training"]
        torch.manual_seed(derived_seed(config["seed"], "init", 0))
        # Built on the CPU: the same first weights on every device.
        self.generator = _placed(build_generator(config), device)
        self.discriminator = _placed(build_discriminator(config), device)
        average = build_generator(without_spectral_norm(config, "generator"))
        self.ema = Ema(_placed(average, device), **training["ema"])
        self.ema.update(self.generator, step=0)
        self.conditional = labels is not None
        if self.conditional:
            for network in (self.generator, self.ema.network):
                network.shares.set(labels)
        self.objective = OBJECTIVES[variant["objective"]]
        self.n_dis = variant["n_dis"]
        self.augment = variant.get("augment", [])
        self.weights = dict.fromkeys(PENALTIES, 0.0) | variant.get("regularisers", {})
        self.seed, self.steps = config["seed"], training["steps"]
        self._random = torch.Generator(device)
        # Batch norm must not mix the statistics of real and fake images (DCGAN, section 3).
        self.joint_pass = variant["discriminator"]["norm"] != "batch"
        optimizer = variant["optimizer"]
        self.decays = optimizer.get("decay", "none") == "linear"
        self.lr_g = optimizer["lr_g"]
        self.lr_d = optimizer["lr_g"] * optimizer["lr_ratio"]
        betas = tuple(optimizer["betas"])
        self.optimizer_g = torch.optim.Adam(self.generator.parameters(), self.lr_g, betas, fused=True)
        self.optimizer_d = torch.optim.Adam(self.discriminator.parameters(), self.lr_d, betas, fused=True)

    def step(self, step: int, real: RealBatches, noise: Noise) -> dict[str, Tensor]:
        """Carry out step number `step` (from 1); returns scalars that stay on the device."""
        first = (step - 1) * self.n_dis
        self._set_learning_rates(step)
        advance_power_iteration(self.generator)
        for index in range(first, first + self.n_dis):
            is_last = index == first + self.n_dis - 1
            # The generator's own update reuses the last fakes: one pass through it serves both.
            labels_fake = real.drawn_labels(index) if self.conditional else None
            with torch.set_grad_enabled(is_last):
                fake = self.generator(noise[index], labels_fake)
            labels_real = real.labels_of(index) if self.conditional else None
            scalars = self._discriminator_update(index, real[index], fake.detach(), labels_real, labels_fake)
        scalars["loss_g"] = self._generator_update(step, fake, labels_fake)
        self.ema.update(self.generator, step)
        return scalars

    def _set_learning_rates(self, step: int) -> None:
        """Linear decay from the full rate in the first step to 1/steps of it in the last."""
        left = (self.steps - step + 1) / self.steps if self.decays else 1.0
        for optimizer, rate in ((self.optimizer_g, self.lr_g), (self.optimizer_d, self.lr_d)):
            for group in optimizer.param_groups:
                group["lr"] = rate * left

    def _discriminator_update(
        self, index: int, real: Tensor, fake: Tensor, labels_real: Tensor | None, labels_fake: Tensor | None
    ) -> dict[str, Tensor]:
        advance_power_iteration(self.discriminator)
        real, fake = self._augmented(real, "real", index), self._augmented(fake, "fake", index)
        real.requires_grad_(self.weights["r1"] > 0)
        with self._differentiable_twice():
            if self.joint_pass:
                labels = torch.cat([labels_real, labels_fake]) if self.conditional else None
                logits_real, logits_fake = self.discriminator(torch.cat([real, fake]), labels).chunk(2)
            else:
                logits_real = self.discriminator(real, labels_real)
                logits_fake = self.discriminator(fake, labels_fake)
            loss = self.objective.discriminator(logits_real, logits_fake)
            scalars = {
                "loss_d": loss.detach(),
                "logits_real": logits_real.detach().mean(),
                "logits_fake": logits_fake.detach().mean(),
            }
            if (penalty := self._penalty(index, real, fake, logits_real, labels_real)) is not None:
                loss = loss + penalty
                scalars["penalty_d"] = penalty.detach()
            self.optimizer_d.zero_grad()
            loss.backward()
        self.optimizer_d.step()
        return scalars

    def _penalty(
        self, index: int, real: Tensor, fake: Tensor, logits_real: Tensor, labels_real: Tensor | None
    ) -> Tensor | None:
        """The weighted penalties on the discriminator's gradients; None where there are none."""
        penalty = None
        if weight := self.weights["r1"]:
            penalty = weight / 2 * r1_penalty(logits_real, real)
        if weight := self.weights["gradient_penalty"]:
            shares = torch.rand(len(real), 1, 1, 1, generator=self._seeded("mixing", index), device=real.device)
            critic = partial(self.discriminator, labels=labels_real)
            term = weight * gradient_penalty(critic, real.detach(), fake, shares)
            penalty = term if penalty is None else penalty + term
        return penalty

    def _generator_update(self, step: int, fake: Tensor, labels: Tensor | None) -> Tensor:
        self.discriminator.requires_grad_(False)
        loss = self.objective.generator(self.discriminator(self._augmented(fake, "generator", step), labels))
        total = loss
        if weight := self.weights["orthogonal"]:
            total = loss + weight * orthogonality(self.generator)
        self.optimizer_g.zero_grad()
        total.backward()
        self.optimizer_g.step()
        self.discriminator.requires_grad_(True)
        return loss.detach()

    def _augmented(self, images: Tensor, purpose: str, index: int) -> Tensor:
        return augmented(images, self.augment, self._seeded(f"augment {purpose}", index)) if self.augment else images

    def _seeded(self, purpose: str, index: int) -> torch.Generator:
        """Random numbers that are a function of the run's seed, a purpose and an index."""
        return self._random.manual_seed(derived_seed(self.seed, purpose, index))

    @contextmanager
    def _differentiable_twice(self) -> Iterator[None]:
        """Gradients of gradients need attention without its fused kernel."""
        if self.weights["r1"] or self.weights["gradient_penalty"]:
            with sdpa_kernel(SDPBackend.MATH):
                yield
        else:
            yield

    def diagnostics(self) -> dict[str, Tensor]:
        """gamma of each attention layer and sigma of each normalised one: scalars on the device."""
        scalars = {}
        for role, network in (("generator", self.generator), ("discriminator", self.discriminator)):
            scalars |= {f"gamma.{role}.{side}": gamma for side, gamma in gammas(network).items()}
            scalars |= {f"sigma.{role}.{layer}": sigma for layer, sigma in sigmas(network).items()}
        return scalars

    def weights_finite(self) -> Tensor:
        """Whether every weight of both networks is finite, as a boolean scalar on the device."""
        weights = [*self.generator.parameters(), *self.discriminator.parameters()]
        return torch.stack(torch._foreach_norm(weights)).isfinite().all()

    def state(self) -> dict[str, Tensor]:
        """Everything that the next step depends on, as flat named tensors."""
        tensors = {}
        for name, network in self._networks().items():
            tensors |= {f"{name}.{key}": value for key, value in network.state_dict().items()}
        for name, optimizer in (("optimizer_g", self.optimizer_g), ("optimizer_d", self.optimizer_d)):
            for index, slots in optimizer.state_dict()["state"].items():
                tensors |= {f"{name}.{index}.{slot}": value for slot, value in slots.items()}
        return tensors

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Put back what `state` gave."""
        for name, network in self._networks().items():
            network.load_state_dict(_under(tensors, name))
        for name, optimizer in (("optimizer_g", self.optimizer_g), ("optimizer_d", self.optimizer_d)):
            parameters = [p for group in optimizer.param_groups for p in group["params"]]
            slots: dict[int, dict[str, Tensor]] = {}
            for key, value in _under(tensors, name).items():
                index, slot = key.split(".")
                slots.setdefault(int(index), {})[slot] = _laid_out_like(value, parameters[int(index)])
            optimizer.load_state_dict({**optimizer.state_dict(), "state": slots})

    def _networks(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "discriminator": self.discriminator, "ema": self.ema.network}


def _placed(network: nn.Module, device: torch.device) -> nn.Module:
    # Channels last is the layout that convolutions are fastest in, on CPUs and on tensor cores.
    return network.to(device=device, memory_format=torch.channels_last).train()


def _laid_out_like(value: Tensor, parameter: Tensor) -> Tensor:
    """A moment in its parameter's memory layout: fused optimisers read both as they lie in memory."""
    return torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(f"{prefix}."): v for k, v in tensors.items() if k.startswith(f"{prefix}.")}
