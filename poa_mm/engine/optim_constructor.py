"""Parameter groups: layer-wise lr decay, no weight decay on flat parameters, lr for the total batch."""

import copy
import math
from collections.abc import Callable

from mmengine.dist import get_world_size
from mmengine.logging import print_log
from mmengine.optim import OptimWrapper
from mmengine.registry import OPTIMIZERS
from torch import nn

from poa_mm.errors import UserError
from poa_mm.models.backbones import find_layer_depths, known_families
from poa_mm.models.wrapping import unwrapped
from poa_mm.registry import OPTIM_WRAPPER_CONSTRUCTORS, OPTIM_WRAPPERS

from .optim_wrapper import count_micro_batches
from .start_file import find_scales

PREFIX = 'backbone.'
LR_RULES = {None: lambda ratio: 1.0, 'linear': lambda ratio: ratio, 'sqrt': math.sqrt}


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class LayerDecayOptimWrapperConstructor:
    """Builds an optimizer wrapper with layer-wise lr decay, for any model that has a ``backbone``.

    ::

        optim_wrapper = dict(
            type='PoaOptimWrapper',
            constructor='LayerDecayOptimWrapperConstructor',
            optimizer=dict(type='AdamW', lr=0.004, weight_decay=0.04, fused=True),
            total_batch=1600,
            batch_size=50,
            lr_scaling=dict(rule='sqrt', base_batch_size=1024),
            paramwise_cfg=dict(layer_decay_rate=0.9, patch_embed_lr_mult=0.2),
        )

    Parameters are gathered into few groups, one for each different setting. A group holds, besides
    what the optimizer needs, ``name`` (to read), ``part`` ('backbone' or 'heads', the latter for all
    the rest), ``is_last_layer`` (of a projection head), ``initial_lr`` and
    ``initial_weight_decay``. Parameters without ``requires_grad`` are left out.

    Args:
        optim_wrapper_cfg: Config of the wrapper, with ``optimizer`` and optionally ``lr_scaling``:
            the optimizer's lr is meant for a total batch of ``base_batch_size`` and is changed to the
            real one by ``rule`` ('sqrt', POA's program; 'linear', POA's text; None, not at all). The
            real one is the wrapper's ``total_batch`` or, where it has none, ``lr_scaling.batch_size`` (of one
            process) times processes times ``accumulative_counts``.
        paramwise_cfg: Optional, with

            - ``layer_decay_rate`` (float): a backbone parameter's lr is multiplied by
              ``rate ** (num_layers - 1 - layer_id)``. A network of a registered family has the ids of
              :class:`LayerDepths`, whichever toolbox it is from; other backbones need a method
              ``get_layer_depth(name, prefix)``.
              Defaults to 1, no decay. Other parameters have none.
            - ``fine_tuning_ids`` (bool): Whether layers are numbered as the program does in fine-tuning; see
              :class:`LayerDepths`. Defaults to False.
            - ``scaled_lr`` (bool): whether a network that was extracted learns as it would inside the intact one.
              There the activations of a sliced layer are multiplied by ``a``; extraction multiplies its weights by
              ``a`` instead, so the same step of AdamW moves them ``a`` times less. Those weights get ``a`` times the
              lr and ``1 / a`` of the weight decay (which AdamW multiplies by the lr). ``a`` comes from the extracted
              file that the backbone's ``init_cfg`` names. Defaults to False.
            - ``patch_embed_lr_mult`` (float): further factor for names with 'patch_embed'. Defaults to 1.
            - ``no_decay`` (list[str]): parameters whose name contains one of these have no weight decay (say
              'pos_embed' in fine-tuning). Biases, norms and LayerScale never have any.

    Raises:
        UserError: An unknown option, or a model that does not fit.
    """

    # Keys of the wrapper's config that are for this class.
    wrapper_keys = ('lr_scaling',)

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        self.wrapper_cfg = copy.deepcopy(dict(optim_wrapper_cfg))
        if 'lr' not in self.wrapper_cfg.get('optimizer', {}):
            raise UserError('optim_wrapper must have an optimizer with lr, as optimizer=dict(type=..., lr=...).')
        self.optimizer_cfg = dict(self.wrapper_cfg.pop('optimizer'))
        scaling = _options(
            self.wrapper_cfg.pop('lr_scaling', None),
            'lr_scaling',
            dict(rule=None, batch_size=None, base_batch_size=None),
        )
        if 'total_batch' in self.wrapper_cfg and scaling['batch_size'] is not None:
            raise UserError('lr_scaling.batch_size has no effect beside total_batch; leave it out.')
        self.batch_size = self.wrapper_cfg.get('batch_size') or scaling['batch_size']
        self.optimizer_cfg['lr'] *= self._lr_factor(scaling['rule'], scaling['base_batch_size'])

        options = _options(
            paramwise_cfg,
            'paramwise_cfg',
            dict(layer_decay_rate=1.0, fine_tuning_ids=False, scaled_lr=False, patch_embed_lr_mult=1.0, no_decay=()),
        )
        self.layer_decay_rate = options['layer_decay_rate']
        self.fine_tuning_ids, self.scaled_lr = options['fine_tuning_ids'], options['scaled_lr']
        self.patch_embed_lr_mult = options['patch_embed_lr_mult']
        self.no_decay = options['no_decay']
        if isinstance(self.no_decay, str):
            raise UserError(f'no_decay must be a list of parts of names, got {self.no_decay!r}.')

    def __call__(self, model: nn.Module) -> OptimWrapper:
        """Build the optimizer wrapper of ``model`` (or of what it wraps)."""
        model = unwrapped(model)
        groups = self._param_groups(model)
        optimizer = OPTIMIZERS.build(dict(self.optimizer_cfg, params=groups))
        cfg = dict(self.wrapper_cfg)
        cfg.setdefault('type', 'OptimWrapper')
        wrapper = OPTIM_WRAPPERS.build(cfg, default_args=dict(optimizer=optimizer))
        # What the lr was made for, to be compared with the dataloader (BatchSizeCheckHook).
        wrapper.expected_batch_size = self.batch_size
        return wrapper

    def _lr_factor(self, rule: str | None, base_batch_size: int | None) -> float:
        if rule not in LR_RULES:
            raise UserError(f'lr_scaling rule must be one of {list(LR_RULES)}, got {rule!r}.')
        if rule is None:
            return 1.0
        if not (self.batch_size and base_batch_size):
            raise UserError(
                f'lr_scaling with rule {rule!r} needs batch_size and base_batch_size above 0, '
                f'got {self.batch_size} and {base_batch_size}.'
            )
        counts, total = self.wrapper_cfg.get('accumulative_counts', 1), self.wrapper_cfg.get('total_batch')
        if total is not None:
            counts = count_micro_batches(total, self.batch_size, get_world_size())
        total = self.batch_size * get_world_size() * counts
        factor = LR_RULES[rule](total / base_batch_size)
        lr = self.optimizer_cfg['lr']
        print_log(
            f'Learning rate {lr:g} for a batch of {base_batch_size} becomes {lr * factor:.4g} for {total} = '
            f'{self.batch_size} a process x {get_world_size()} processes x {counts} accumulated ({rule} rule).',
            logger='current',
        )
        return factor

    def _param_groups(self, model: nn.Module) -> list[dict]:
        base_lr = self.optimizer_cfg['lr']
        base_decay = self.optimizer_cfg.get('weight_decay', 0.0)
        depth_of = self._layer_depths(model)
        scales = find_scales(model) if self.scaled_lr else {}
        groups: dict[tuple, dict] = {}
        for name, param in model.named_parameters():
            if not param.requires_grad:
                continue
            part = 'backbone' if name.startswith(PREFIX) else 'heads'
            lr_mult = self._lr_mult(name, depth_of) if part == 'backbone' else 1.0
            decays = not (_is_flat(name, param) or any(key in name for key in self.no_decay))
            is_last_layer = part == 'heads' and '.last_layer.' in name

            scale = scales.get(name[len(PREFIX) :], 1.0) if part == 'backbone' else 1.0
            lr, weight_decay = base_lr * lr_mult * scale, base_decay / scale if decays else 0.0
            group_name = f'{part} lr x {lr_mult:.4g}'
            group_name += f' x {scale:.4g}' if scale != 1 else ''
            group_name += ', last layer' if is_last_layer else ''
            group_name += '' if decays else ', no weight decay'
            group = groups.setdefault(
                (part, lr_mult, scale, decays, is_last_layer),
                dict(
                    params=[],
                    name=group_name,
                    part=part,
                    is_last_layer=is_last_layer,
                    lr=lr,
                    initial_lr=lr,
                    weight_decay=weight_decay,
                    initial_weight_decay=weight_decay,
                ),
            )
            group['params'].append(param)
        if not groups:
            raise UserError(f'{type(model).__name__} has no parameter with requires_grad.')
        return list(groups.values())

    def _layer_depths(self, model: nn.Module) -> Callable[[str, str], tuple[int, int]] | None:
        """What gives a backbone parameter's layer id and the number of layers; ``None`` if nothing needs it."""
        backbone = getattr(model, 'backbone', None)
        if self.layer_decay_rate == 1 or backbone is None:
            return None
        if not any(param.requires_grad for param in backbone.parameters()):
            return None
        found = find_layer_depths((name for name, _ in backbone.named_parameters()), self.fine_tuning_ids)
        if found is None and self.fine_tuning_ids:
            raise UserError(
                f'fine_tuning_ids needs a network of a known family ({", ".join(known_families())}), '
                f'{type(backbone).__name__} is not one'
            )
        if found is None and not hasattr(backbone, 'get_layer_depth'):
            raise UserError(
                f'layer_decay_rate {self.layer_decay_rate} needs a network of a known family '
                f'({", ".join(known_families())}) or a backbone with get_layer_depth; {type(backbone).__name__} is '
                'neither: use 1 or another backbone.'
            )
        return found or backbone.get_layer_depth

    def _lr_mult(self, name: str, depth_of: Callable[[str, str], tuple[int, int]] | None) -> float:
        mult = self.patch_embed_lr_mult if 'patch_embed' in name else 1.0
        if depth_of is None:
            return mult
        layer_id, num_layers = depth_of(name, PREFIX)
        return mult * self.layer_decay_rate ** (num_layers - 1 - layer_id)


def _is_flat(name: str, param: nn.Parameter) -> bool:
    """Biases, norms and LayerScale: all one-dimensional parameters but tokens."""
    return param.ndim <= 1 and not name.endswith('_token')


def _options(given: dict | None, what: str, defaults: dict) -> dict:
    """The defaults, updated by what the config gives."""
    unknown = set(given or {}) - set(defaults)
    if unknown:
        raise UserError(f'{what} has no option {sorted(unknown)}; it has {sorted(defaults)}.')
    return {**defaults, **(given or {})}
