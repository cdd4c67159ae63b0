"""The training step of a config without a runner: the thing that is measured."""

from __future__ import annotations

import logging
from functools import partial
from itertools import repeat
from types import SimpleNamespace

import torch
from mmengine.config import Config
from mmengine.registry import FUNCTIONS, DefaultScope
from mmengine.runner import Runner

from poa_mm.config import load_config
from poa_mm.datasets.multi_crop import View
from poa_mm.elastic import Subnet
from poa_mm.elastic.sampler import relative_cost
from poa_mm.engine import LayerDecayOptimWrapperConstructor, TeacherEMAHook
from poa_mm.errors import UserError
from poa_mm.models.poa import POA
from poa_mm.registry import MODELS

from .timing import Part

DRAWN, TYPICAL = 'drawn', 'typical'


class TrainingStep:
    """One optimizer step a call: data, losses, backward passes, optimizer, teacher.

    Args:
        cfg: A pre-training config.
        device: Where to run.
        subnet: The elastic student: a member of the space, ``'typical'`` for the one whose cost is nearest to the
            mean of the draws, or ``'drawn'`` for those that training would draw.
        batch_size: Images of one micro-batch; ``None`` for the config's.
        real_data: Read images as the config says. Otherwise all steps get one batch of random crops.

    Attributes:
        subnet (Subnet | None): The sub-network of all steps; ``None`` if they are drawn or there is none.
        images (int): Images of one step.
        number (int): Optimizer steps done, which decides the drawn sub-network.

    Raises:
        UserError: If the config is not a POA pre-training, the device cannot be used, or images are missing.
    """

    def __init__(
        self,
        cfg: Config,
        device: torch.device,
        subnet: str = TYPICAL,
        batch_size: int | None = None,
        real_data: bool = False,
    ) -> None:
        check_pretraining(cfg)
        check_device(device)
        loader = cfg.train_dataloader.to_dict()
        loader['batch_size'] = batch_size = batch_size or loader['batch_size']
        torch.manual_seed(0)
        with DefaultScope.overwrite_default_scope(cfg.get('default_scope', 'poa_mm')):
            # The default schedule: all losses are on from the first step.
            self.model = MODELS.build({**cfg.model, 'schedule': None})
            # MMEngine logs what it did to every parameter.
            logging.disable(logging.INFO)
            self.model.init_weights()
            logging.disable(logging.NOTSET)
            self.model.to(device).train()
            wrapper = {**cfg.optim_wrapper.to_dict(), 'lr_scaling': None}
            paramwise = wrapper.pop('paramwise_cfg', None)
            wrapper.pop('constructor', None)
            self.wrapper = LayerDecayOptimWrapperConstructor(wrapper, paramwise)(self.model)
            if real_data:
                self.batches = iter(Runner.build_dataloader(loader, seed=0))
            else:
                self.batches = repeat(random_batch(loader, device))
        self.loader = loader
        self.ema = TeacherEMAHook(start=0.999, final=0.999, steps=1)
        self.ema.before_train(SimpleNamespace(model=self.model))
        self.device = device
        self.micro_batches = self.wrapper._accumulative_counts
        self.images = batch_size * self.micro_batches
        self.number = 0
        self.subnet = self._choose(subnet)
        if self.subnet:
            self.model.sampler = lambda step, rank=0, seed=0: self.subnet

    @classmethod
    def from_config(
        cls, path: str, options: dict, device: str | None, amp: str | None = None, **arguments
    ) -> TrainingStep:
        """The step of a config file, with the convolutions chosen as the config says.

        Args:
            path: The config file.
            options: Dotted keys and their values, as ``--cfg-options`` gives them.
            device: Where to run, ``'cpu'``, ``'cuda'`` or ``'cuda:1'``; ``None`` for a GPU if there is one.
            amp: ``'none'``, ``'bfloat16'`` or ``'float16'``; ``None`` for the config's precision.
            arguments: Of the class.

        Raises:
            UserError: The config does not exist, an option does not fit, it is not a POA pre-training, it uses a
                toolbox that is not installed, or the device cannot be used.
        """
        cfg = load_config(path, options, None, 'none')
        check_pretraining(cfg)
        if amp:
            cfg.optim_wrapper.amp_dtype = None if amp == 'none' else amp
        torch.backends.cudnn.benchmark = cfg.get('env_cfg', {}).get('cudnn_benchmark', False)
        return cls(cfg, check_device(device or ('cuda' if torch.cuda.is_available() else 'cpu')), **arguments)

    def _choose(self, wanted: str) -> Subnet | None:
        sampler, space = self.model.sampler, self.model.backbone.space
        if sampler is None or wanted == DRAWN:
            return None
        if wanted != TYPICAL:
            return space.parse(wanted)
        costs = {subnet: relative_cost(space, subnet) for subnet in sampler.copies}
        mean = sum(costs[subnet] for subnet in sampler.pool) / len(sampler.pool)
        return min(costs, key=lambda subnet: abs(costs[subnet] - mean))

    def resize(self, batch_size: int) -> None:
        """Continue with random crops of another number of images."""
        self.batches = repeat(random_batch({**self.loader, 'batch_size': batch_size}, self.device))
        self.images = batch_size * self.micro_batches

    def __call__(self) -> None:
        for micro_batch in range(self.micro_batches):
            self.train_on(self.next_batch(), micro_batch)
        self.update_teacher()
        self.number += 1

    def train_on(self, batch: dict, micro_batch: int) -> None:
        """One micro-batch of the step; the last one updates the weights."""
        draw = dict(step=self.number, rank=micro_batch, seed=0)
        self.model.train_step({**batch, 'inputs': {**batch['inputs'], **draw}}, self.wrapper)

    def next_batch(self) -> dict:
        """A batch on the host."""
        return next(self.batches)

    def update_teacher(self) -> None:
        """EMA update of the teacher."""
        self.ema.update(0.999, self.wrapper.finite)

    def parts(self) -> list[Part]:
        """The named parts of a step, for :func:`time_parts`."""
        model, wrapper = self.model, self.wrapper

        def student(crops, masks=None, subnet=None) -> str:
            return 'intact student' if subnet is None else 'elastic student'

        heads = [model.head, model.patch_head, model.teacher.head, model.teacher.patch_head]
        return [
            (self, 'next_batch', 'data'),
            (model.data_preprocessor, 'forward', 'data'),
            (model.teacher.backbone, 'forward', 'teacher'),
            (model.backbone, 'forward', student),
            *((head, 'forward', 'heads') for head in heads if head is not None),
            (model.head, 'prototypes', 'heads'),
            (model.target, 'forward', 'targets and losses'),
            (model, '_compare', 'targets and losses'),
            (wrapper, 'backward', 'backward'),
            (wrapper, 'step', 'optimizer'),
            (wrapper, 'zero_grad', 'optimizer'),
            (self, 'update_teacher', 'EMA'),
        ]


def check_pretraining(cfg: Config) -> None:
    """Refuse the config of anything else before it is built.

    Raises:
        UserError: If the config is not a POA pre-training.
    """
    kind = cfg.get('model', {}).get('type', 'a config without a model')
    found = MODELS.get(kind) if isinstance(kind, str) else kind
    if not (isinstance(found, type) and issubclass(found, POA)):
        raise UserError(f'the benchmark is of POA pre-training, not of {getattr(kind, "__name__", kind)}')


def check_device(device: str | torch.device) -> torch.device:
    """The device, made the current one: kernels are launched there.

    Raises:
        UserError: If it cannot be used.
    """
    try:
        found = torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:  # PyTorch without CUDA asserts
        raise UserError(f"device '{device}' cannot be used: {str(error).splitlines()[0]}") from error
    if found.type == 'cuda':
        torch.cuda.set_device(found)
    return found


def random_batch(loader: dict, device: torch.device) -> dict:
    """A batch of noise on the host, of the sizes and with the masks of a dataloader's config."""
    views = {kind: View.from_config(kind, cfg) for kind, cfg in loader['dataset']['views'].items()}
    size, local = views['global_1'].size, views['local']
    samples = [
        dict(
            global_crops=torch.randint(256, (2, 3, size, size), dtype=torch.uint8),
            local_crops=torch.randint(256, (local.number, 3, local.size, local.size), dtype=torch.uint8),
            seed=0,
            position=0,
        )
        for _ in range(loader['batch_size'])
    ]
    options = dict(loader['collate_fn'])
    batch = partial(FUNCTIONS.get(options.pop('type')), **options)(samples)
    if device.type == 'cuda' and loader.get('pin_memory'):  # else every copy waits for the device
        batch['inputs'] = {name: value.pin_memory() for name, value in batch['inputs'].items()}
    return batch
