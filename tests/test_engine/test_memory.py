"""The counted memory of a step against PyTorch's own record of what a real step allocates."""

import warnings
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from torch import nn
from torch.profiler import ProfilerActivity, profile

from poa_mm.config import load_config
from poa_mm.datasets.random_batch import random_batch
from poa_mm.engine.memory import Counter, count_step, typical_subnet
from poa_mm.engine.plan import CONTEXT, DIVIDED, GB, Planner, cost, count_gathered
from poa_mm.errors import UserError
from poa_mm.registry import MODELS
from tests.helpers.networks import RESNET, SWIN, VIT

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
DTYPES = {None: torch.float32, 'bfloat16': torch.bfloat16}


def config(backbone, amp=None):
    """A pre-training with crops of 64 and 32 px."""
    size = 16 if backbone['type'] == 'ElasticVisionTransformer' else 64
    grid = (2, 2) if size == 16 else (4, 4)
    head = dict(type='MultiPrototypeHead', num_prototypes=(64, 128), hidden_dims=32, bottleneck_dims=16)
    shape = dict(size=size, scale=(0.3, 1.0))
    views = dict(global_1=shape, global_2=shape, local=dict(size=size // 2, scale=(0.05, 0.3), number=2))
    return Config(
        dict(
            model=dict(type='POA', backbone=backbone, head=head),
            train_dataloader=dict(
                dataset=dict(views=views),
                collate_fn=dict(type='poa_mm.multi_crop_collate', grid=grid, mask_ratio=(0.1, 0.5)),
            ),
            optim_wrapper=dict(amp_dtype=amp, total_batch=96, batch_size=12, optimizer=dict(type='AdamW')),
            train_cfg=dict(type='StepTrainLoop', max_iters=1),
        )
    )


def measured_peak(cfg, batch_size):
    """Most bytes that a real step on the CPU holds, from the allocator's events."""
    batch = random_batch(cfg.train_dataloader, batch_size)
    model = MODELS.build({'_scope_': 'poa_mm', **cfg.model.to_dict()}).train()
    amp = cfg.optim_wrapper.amp_dtype
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        with torch.autocast('cpu', dtype=DTYPES[amp], enabled=amp is not None):
            inputs = model.data_preprocessor(batch, True)['inputs']
            loss = model.compute_losses(**inputs, teacher_temp=0.07)['loss']
        loss.backward()
    events = [event for event in profiler.profiler.kineto_results.events() if event.name() == '[memory]']
    live = peak = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        live += event.nbytes()
        peak = max(peak, live)
    return peak


@pytest.mark.parametrize('backbone', [VIT, SWIN, RESNET, {**VIT, 'with_cp': True}], ids=lambda b: b['type'])
@pytest.mark.parametrize('amp', DTYPES)
def test_the_count_is_what_a_step_allocates(backbone, amp):
    """Within 15 %: the CPU's products in bfloat16 also hold packed copies of their operands, which no count sees."""
    cfg = config(backbone, amp)
    counted = count_step(cfg, 6, gpu=False)
    assert counted.peak == pytest.approx(measured_peak(cfg, 6), rel=0.15)


def test_parameters_gradients_and_optimizer():
    cfg = config(VIT)
    model = MODELS.build({'_scope_': 'poa_mm', **cfg.model.to_dict()})
    trained = 4 * sum(p.numel() for p in [*model.backbone.parameters(), *model.head.parameters()])
    first, later = (count_step(cfg, 4, accumulates) for accumulates in (False, True))
    assert first.student == first.gradients == trained and first.optimizer == 2 * trained
    assert first.teacher == trained + 4 * 6  # mean and standard deviation of the pixels
    assert later.peak <= first.peak and later.activations == first.activations


def test_no_warning():
    """Of the weights' copy for the teacher, which PyTorch calls a bug."""
    always = torch.is_warn_always_enabled()
    torch.set_warn_always(True)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            count_step(config(VIT), 2)
    finally:
        torch.set_warn_always(always)


def test_counter_by_hand():
    with Counter() as counter:
        a = torch.zeros(10)
        b = a.view(2, 5)  # no memory of its own
        assert (counter.live, counter.peak) == (40, 40)
        c = b @ torch.zeros(5, 3)
        assert (counter.live, counter.peak) == (40 + 24, 40 + 60 + 24) and counter.flops == 2 * 2 * 5 * 3
        del a, b
        assert counter.live == 24 and len(c) == 2
        layer = nn.Linear(4, 4)
        layer(torch.zeros(2, 4)).sum().backward()
    assert counter.flops == 60 + 2 * (2 * 2 * 4 * 4)  # no gradient of the input


@pytest.mark.parametrize('backbone', [VIT, SWIN, RESNET], ids=lambda b: b['type'])
def test_recomputation_trades_memory_for_operations(backbone):
    plain, again = (count_step(config({**backbone, 'with_cp': with_cp}, 'bfloat16'), 8) for with_cp in (False, True))
    assert again.peak < plain.peak and again.activations < plain.activations
    assert plain.flops < again.flops < 1.4 * plain.flops


def test_other_models_are_refused():
    cfg = load_config(str(CONFIGS / 'eval' / 'finetune_vits.py'), {}, None, 'none')
    with pytest.raises(UserError, match='POA pre-training, SEED and recovery, not ImageClassifier'):
        count_step(cfg, 2)
    cfg = config(VIT)
    del cfg.optim_wrapper.total_batch
    with pytest.raises(UserError, match='must state total_batch and batch_size'):
        count_step(cfg, 2)


@pytest.mark.parametrize('recipe', ['seed_vit_small', 'recover_vit_small'])
def test_a_distillation(recipe):
    """The frozen teacher counts, although its weights are not parameters of the model."""
    cfg = load_config(recipe, {'batch_size': 8, 'total_batch': 16, 'model.backbone.with_cp': False}, None, 'none')
    counted = count_step(cfg, 8)
    model = MODELS.build({'_scope_': 'poa_mm', **cfg.model.to_dict()})
    trained = sum(p.nbytes for p in model.parameters() if p.requires_grad)
    frozen = [p for p in model.parameters() if not p.requires_grad]
    kept = [*frozen, *model.buffers(), *model.teacher.parameters(), *model.teacher.buffers()]
    assert (counted.student, counted.gradients, counted.optimizer) == (trained, trained, 2 * trained)
    assert counted.teacher == sum(tensor.nbytes for tensor in kept) > trained
    assert 0 < counted.activations <= counted.peak
    plan = Planner(cfg, 2).recipe()
    assert (plan.micro_batches, plan.gathered, plan.step.student) == (1, None, trained)
    assert not any('FullySharded' in ' '.join(smaller.switches) for smaller in Planner(cfg, 2).smaller(1))
    assert Planner(cfg, 2).run_flops() == pytest.approx(counted.flops / 8 * 16 * cfg.train_cfg.max_iters, rel=1e-6)


def test_typical_subnet():
    model = MODELS.build({'_scope_': 'poa_mm', **config(VIT).model.to_dict()})
    assert model.backbone.space.name(typical_subnet(model.sampler)) not in ('16x2', '32x4')


def test_operations_of_a_run_follow_the_stages_of_its_sampler():
    def flops(sampler):
        cfg = config(dict(VIT, widths=(16, 64, 16), depths=(2, 8)))
        cfg.model.sampler = sampler
        cfg.train_cfg.max_iters = 10
        return Planner(cfg, 1).run_flops()

    small = dict(widths=[16], depths=[2])
    first, later = flops(small), flops({})
    assert first < 0.95 * later
    mixed = flops(dict(stages=[dict(steps=4, **small)]))
    assert mixed == pytest.approx(0.4 * first + 0.6 * later)
    assert flops(dict(stages=[dict(steps=40, **small)])) == pytest.approx(first)


def test_plans_of_a_recipe():
    """The need is the sum of the parts; what lowers it is named with its cost, and the smaller batch fits."""
    planner = Planner(config(VIT, 'bfloat16'), gpus=4)
    recipe = planner.recipe()
    assert (recipe.micro_batches, recipe.switches, cost(recipe, recipe)) == (2, (), 'none')
    step = recipe.step
    live = step.student + step.teacher + step.optimizer + 2 * step.gradients + step.peak  # kept, and on their way
    assert recipe.need == pytest.approx(1.05 * live + CONTEXT, rel=1e-6)
    limit = CONTEXT + round(0.75 * (recipe.need - CONTEXT))
    divided, recomputed, smaller = planner.smaller(limit)[:3]
    assert divided.switches == (DIVIDED,)
    assert cost(divided, recipe) == f'the teacher is gathered too, 2 x {step.teacher / GB:.1f} GB a step'
    assert recomputed.switches == ('model.backbone.with_cp=True',) and recomputed.need < recipe.need
    assert 'more operations' in cost(recomputed, recipe)
    assert smaller.need <= limit and 24 % smaller.batch_size == 0
    assert smaller.micro_batches * smaller.batch_size * 4 == 96
    assert cost(smaller, recipe).endswith(f'over {4 * smaller.batch_size} images in place of 48')


def test_plan_of_a_divided_model():
    """Shares of all, whole what the step gathers: the student and the teacher's heads, a message and the next one."""
    cfg = config(VIT)
    cfg.model_wrapper_cfg = dict(type='FullyShardedPOA')
    planner = Planner(cfg, gpus=4)
    recipe, model = planner.recipe(), MODELS.build({'_scope_': 'poa_mm', **cfg.model.to_dict()})
    heads, block = (sum(p.nbytes for p in part.parameters()) for part in (model.head, model.backbone.layers[0]))
    step, gathered = recipe.step, count_gathered(model)
    assert gathered.whole == step.student + heads and gathered.largest == 2 * heads > block
    shares = (step.student + step.teacher + step.optimizer + step.gradients) / 4
    live = shares + gathered.whole + 2 * gathered.largest + step.gradients + step.peak
    assert recipe.need == pytest.approx(1.05 * live + CONTEXT, rel=1e-6)
    assert not any(plan.switches == (DIVIDED,) for plan in planner.smaller(CONTEXT))
