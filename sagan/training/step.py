"""One training step: `n_dis` discriminator updates, one generator update, one update of the average."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from sagan.nn.reparametrised import in_use, plain
from sagan.objectives import Judged
from sagan.params.run import RunConfig
from sagan.params.variants import Optimizer
from sagan.training.augment import augmented, numbers_needed
from sagan.training.batches import Noise, RealBatches, drawing, sent
from sagan.training.ema import Ema
from sagan.training.graphs import GraphedStep, cuda_capture
from sagan.training.ingredients import GROWTH, Made, ingredients_of
from sagan.training.processes import ALONE, Processes, synchronise_batch_norm
from sagan.training.seeds import derived_seed

_LAYOUTS = {"channels_last": torch.channels_last, "contiguous": torch.contiguous_format}

# What one update of the discriminator takes, batch first: "real", "z", and as the variant has it "labels_real",
# "labels_fake", "mixing" and the numbers of augmentation.
Inputs = dict[str, Tensor]


class Trainer:
    """Both networks, their optimisers and the generator's average: all that a checkpoint must hold.

    Args:
        labels: each training image's class, int64 [N], where the variant is conditional.
        graphs: whether steps are replayed as CUDA graphs, on a GPU; those of own code where its module says
            `graphable = True`. The bytes are the same.
        title: what messages begin with.
        own: the module of the variant's extension.
    """

    def __init__(
        self,
        config: RunConfig,
        device: torch.device,
        labels: np.ndarray | None = None,
        processes: Processes = ALONE,
        graphs: bool = True,
        title: str = "training",
        own: ModuleType | None = None,
    ) -> None:
        variant, training, networks = config.variant, config.training, config.networks()
        self.device, self.processes = device, processes
        self.layout = _LAYOUTS[training.memory_format]
        self.made_of = ingredients_of(config, own)
        torch.manual_seed(derived_seed(config.seed, "init", 0))
        # Built on the CPU: the same first weights on every device.
        self.generator = self._placed(self.made_of.build_generator(networks))
        self.discriminator = self._placed(self.made_of.build_discriminator(networks))
        average = self.made_of.build_generator(plain(networks, "generator"))
        self.ema = Ema(self._placed(average), training.ema.decay, training.ema.start)
        self.ema.update(self.generator, copies=True)
        self.conditional = labels is not None
        if self.conditional:
            for network in (self.generator, self.ema.network):
                network.shares.set(labels)
        self.n_dis, self.augment, self.growth = variant.n_dis, variant.augment, GROWTH.get(variant.backbone)
        self.reparametrised = {role: in_use(networks["variant"][role]) for role in ("generator", "discriminator")}
        self.seed, self.batch_size, self.pieces = config.seed, training.batch_size, training.accumulate
        self.steps = training.steps
        self.bfloat16 = training.precision == "bfloat16"
        # Batch norm must not mix the statistics of real and fake images (DCGAN, section 3).
        self.joint_pass = variant.discriminator.norm != "batch"
        optimizer = variant.optimizer
        self.decays = optimizer.decay == "linear"
        self.lr_g = optimizer.lr_g
        self.lr_d = optimizer.lr_g * optimizer.lr_ratio
        self.optimizer_g = self._adam(self.generator, self.lr_g, optimizer)
        self.optimizer_d = self._adam(self.discriminator, self.lr_d, optimizer)
        for network in (self.generator, self.discriminator):
            synchronise_batch_norm(network, processes)
            if training.compile:
                network.compile()
        self._carry_out = self._compute
        # What own code counts in Python, a graph would repeat as it was.
        recordable = own is None or getattr(own, "graphable", False)
        if graphs and recordable and device.type == "cuda" and processes.count == 1:
            self._carry_out = GraphedStep(self._compute, self.state, title, cuda_capture, training.deterministic)

    def _placed(self, network: nn.Module) -> nn.Module:
        return network.to(device=self.device, memory_format=self.layout).train()

    def _adam(self, network: nn.Module, rate: float, settings: Optimizer) -> torch.optim.Adam:
        on_gpu = self.device.type == "cuda"
        # On a GPU the rate is a tensor, so that a graph reads its present value.
        rate = torch.tensor(rate, device=self.device) if on_gpu else rate
        betas, eps = tuple(settings.betas), settings.eps
        return torch.optim.Adam(network.parameters(), rate, betas, eps, fused=True, capturable=on_gpu)

    def step(self, step: int, real: RealBatches, noise: Noise) -> dict[str, Tensor]:
        """Carry out step number `step` (from 1); returns scalars that stay on the device."""
        self._set_learning_rates(step)
        if self.growth is not None:
            self.growth.grow(self, (step - 1) * self.batch_size)
        first = (step - 1) * self.n_dis
        inputs = [self._inputs(index, step, real, noise) for index in range(first, first + self.n_dis)]
        return self._carry_out(inputs, self.ema.copies(step))

    def _set_learning_rates(self, step: int) -> None:
        """Linear decay from the full rate in the first step to 1/steps of it in the last."""
        left = (self.steps - step + 1) / self.steps if self.decays else 1.0
        for optimizer, rate in ((self.optimizer_g, self.lr_g), (self.optimizer_d, self.lr_d)):
            for group in optimizer.param_groups:
                if isinstance(group["lr"], Tensor):
                    group["lr"].fill_(rate * left)
                else:
                    group["lr"] = rate * left

    def _inputs(self, index: int, step: int, real: RealBatches, noise: Noise) -> Inputs:
        """All that is random or read from data in the discriminator's update `index`, and in the step's end."""
        images = real[index]
        if self.growth is not None:
            images = self.growth.blend(self, images, (step - 1) * self.batch_size)
        inputs = {"real": images.contiguous(memory_format=self.layout), "z": noise[index]}
        if self.conditional:
            inputs |= {"labels_real": real.labels_of(index), "labels_fake": real.drawn_labels(index)}
        if any(penalty.mixes for _, penalty in self.made_of.penalties):
            inputs["mixing"] = self._uniform("mixing", index, (len(inputs["z"]), 1, 1, 1))
        if self.augment:
            shape = (len(inputs["z"]), numbers_needed(self.augment))
            # The generator's are of the step: drawn anew for each update, they are the same, and the last are used.
            for purpose, place in (("real", index), ("fake", index), ("generator", step)):
                inputs[f"augment {purpose}"] = self._uniform(f"augment {purpose}", place, shape)
        # Everything is drawn for the whole batch, so that the number of processes changes none of it.
        return {name: self.processes.part(value, self.pieces) for name, value in inputs.items()}

    def _uniform(self, purpose: str, index: int, shape: tuple[int, ...]) -> Tensor:
        return sent(torch.rand(shape, generator=drawing(self.seed, purpose, index)), self.device)

    def _compute(self, updates: list[Inputs], copies: bool) -> dict[str, Tensor]:
        """The step itself: a function of its inputs and the state, on the device alone."""
        self._advance("generator", self.generator)
        for inputs in updates:
            # The generator's own update reuses the last fakes: one pass through it serves both.
            reuses = inputs is updates[-1] and self.pieces == 1
            scalars, fake = self._discriminator_update(inputs, reuses)
        scalars["loss_g"] = self._generator_update(updates[-1], fake if reuses else None)
        self.ema.update(self.generator, copies)
        return scalars

    def _advance(self, role: str, network: nn.Module) -> None:
        for reparametrisation in self.reparametrised[role]:
            reparametrisation.advance(network)

    def _discriminator_update(self, inputs: Inputs, keeps_graph: bool) -> tuple[dict[str, Tensor], Tensor]:
        """One update; returns scalars, and the last fakes with their graph where it is kept."""
        self._advance("discriminator", self.discriminator)
        self.optimizer_d.zero_grad()
        found = []
        for piece in self._pieces(inputs):
            with torch.set_grad_enabled(keeps_graph):
                fake = self._generated(piece)
            with self._differentiable_twice():
                loss, scalars = self._discriminator_loss(piece, fake.detach())
                (loss / self.pieces).backward()
            found.append(scalars)
        self._update("discriminator", self.discriminator, self.optimizer_d)
        return {name: torch.stack([s[name] for s in found]).mean() for name in found[0]}, fake

    def _discriminator_loss(self, inputs: Inputs, fake: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        penalties = self.made_of.penalties
        at_real, at_fake = (any(p.at_real for _, p in penalties), any(p.at_fake for _, p in penalties))
        # R1 and R2 are gradients at images before augmentation, as in StyleGAN2-ADA and R3GAN.
        real, fake = inputs["real"].detach().requires_grad_(at_real), fake.detach().requires_grad_(at_fake)
        seen_real, seen_fake = self._augmented(real, inputs, "real"), self._augmented(fake, inputs, "fake")
        labels_real, labels_fake = inputs.get("labels_real"), inputs.get("labels_fake")
        if self.joint_pass:
            labels = torch.cat([labels_real, labels_fake]) if self.conditional else None
            logits_real, logits_fake = self._logits(torch.cat([seen_real, seen_fake]), labels).chunk(2)
        else:
            logits_real, logits_fake = self._logits(seen_real, labels_real), self._logits(seen_fake, labels_fake)
        loss = self.made_of.objective.discriminator(logits_real, logits_fake)
        scalars = {
            "loss_d": loss.detach(),
            "logits_real": logits_real.detach().mean(),
            "logits_fake": logits_fake.detach().mean(),
        }
        if penalties:
            critic = partial(self._logits, labels=labels_real)
            seen = seen_real.detach(), seen_fake.detach()
            judged = Judged(critic, real, fake, *seen, logits_real, logits_fake, inputs.get("mixing"))
            added = sum(weight * penalty.function(judged) for weight, penalty in penalties)
            loss = loss + added
            scalars["penalty_d"] = added.detach()
        return loss, scalars

    def _generator_update(self, inputs: Inputs, fake: Tensor | None) -> Tensor:
        """One update, through `fake` where it is given; returns the loss."""
        self.optimizer_g.zero_grad()
        losses = []
        with self._frozen_discriminator():
            for piece in self._pieces(inputs):
                losses.append(self._generator_loss(piece, self._generated(piece) if fake is None else fake))
                losses[-1].backward()
        for weight, penalty in self.made_of.weight_penalties:
            (weight * penalty(self.generator)).backward()
        self._update("generator", self.generator, self.optimizer_g)
        return torch.stack(losses).detach().sum()

    def _generator_loss(self, inputs: Inputs, fake: Tensor) -> Tensor:
        """Of one piece, with the penalties that depend on its images."""
        objective = self.made_of.objective
        logits_real = None
        if objective.compares:
            with torch.no_grad():
                real = self._augmented(inputs["real"], inputs, "real")
                logits_real = self._logits(real, inputs.get("labels_real"))
        logits_fake = self._logits(self._augmented(fake, inputs, "generator"), inputs.get("labels_fake"))
        loss = objective.generator(logits_real, logits_fake) / self.pieces
        made = Made(self.generator, self.discriminator, fake, inputs["real"])
        for weight, penalty in self.made_of.image_penalties:
            loss = loss + weight * penalty(made) / self.pieces
        return loss

    @contextmanager
    def _frozen_discriminator(self) -> Iterator[None]:
        """No gradients of its weights; after an error too, since a step may be tried again without a graph."""
        self.discriminator.requires_grad_(False)
        try:
            yield
        finally:
            self.discriminator.requires_grad_(True)

    def _update(self, role: str, network: nn.Module, optimizer: torch.optim.Adam) -> None:
        parameters = [p for group in optimizer.param_groups for p in group["params"]]
        self.processes.mean_([p.grad for p in parameters if p.grad is not None])
        optimizer.step()
        for reparametrisation in self.reparametrised[role]:
            reparametrisation.updated(network)

    def _pieces(self, inputs: Inputs) -> Iterator[Inputs]:
        """The parts of a batch whose gradients are added up."""
        parts = {name: value.chunk(self.pieces) for name, value in inputs.items()}
        for index in range(self.pieces):
            yield {name: chunks[index] for name, chunks in parts.items()}

    def _generated(self, inputs: Inputs) -> Tensor:
        with self._mixed_precision():
            return self.generator(inputs["z"], inputs.get("labels_fake")).float()

    def _logits(self, images: Tensor, labels: Tensor | None) -> Tensor:
        with self._mixed_precision():
            return self.discriminator(images, labels).float()

    def _mixed_precision(self) -> torch.autocast:
        """With bfloat16: products in it; weights, sums, losses and the average stay in float32."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)

    def _augmented(self, images: Tensor, inputs: Inputs, purpose: str) -> Tensor:
        return augmented(images, self.augment, inputs[f"augment {purpose}"]) if self.augment else images

    @contextmanager
    def _differentiable_twice(self) -> Iterator[None]:
        """Gradients of gradients need attention without its fused kernel."""
        if self.made_of.penalties:
            with sdpa_kernel(SDPBackend.MATH):
                yield
        else:
            yield

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


def _laid_out_like(value: Tensor, parameter: Tensor) -> Tensor:
    """A moment in its parameter's memory layout: fused optimisers read both as they lie in memory."""
    return torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(f"{prefix}."): v for k, v in tensors.items() if k.startswith(f"{prefix}.")}
