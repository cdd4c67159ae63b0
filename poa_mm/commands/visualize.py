"""Show what networks learned, and what a recipe feeds them: PNG files and one HTML page."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace

from poa_mm.arguments import add_branch, add_cfg_options, add_subnets, positive, result_folder


def add_arguments(parser: ArgumentParser) -> None:
    """Add the options of this command."""
    parser.add_argument(
        'files', nargs='*', metavar='FILE.pth', help='pre-training checkpoints and extracted networks, side by side'
    )
    parser.add_argument(
        '--out',
        type=result_folder,
        required=True,
        metavar='DIR',
        help='write the pictures and the page into this folder',
    )
    parser.add_argument(
        '--images',
        metavar='DIR|CONFIG',
        help='any folder of images, or a config that has knn.val (default: none; needed for FILE.pth)',
    )
    add_subnets(parser)
    add_branch(parser)
    parser.add_argument(
        '--size', type=positive, metavar='PX', help='side of the images (default: twice what a network is made for)'
    )
    parser.add_argument('--number', type=positive, default=6, metavar='N', help='images that are shown (default: 6)')
    parser.add_argument(
        '--gallery',
        type=positive,
        default=200,
        metavar='N',
        help='images among which neighbours and shared prototypes are looked for (default: 200)',
    )
    parser.add_argument(
        '--inputs', metavar='CONFIG', help='also the crops and masks that this recipe starts with (default: none)'
    )
    add_cfg_options(parser)


def run(args: Namespace) -> None:
    """Write the pictures and the page.

    Raises:
        UserError: If there is nothing to show, or a file or the images cannot be used.
    """
    import torch

    from poa_mm.datasets.reading import read_images
    from poa_mm.errors import UserError
    from poa_mm.reporting.pictures import save_figure
    from poa_mm.visualization.batch import draw_batch, first_batch
    from poa_mm.visualization.images import open_images
    from poa_mm.visualization.learned import LearnedPictures
    from poa_mm.visualization.networks import open_networks
    from poa_mm.visualization.page import Section, write_page

    if not (args.files or args.inputs):
        raise UserError('nothing to show: give a checkpoint, an extracted network or --inputs CONFIG')
    if args.files and not args.images:
        raise UserError('no images: give a folder with --images')
    sections = []
    if args.inputs:
        from poa_mm.config import check_config, load_config

        cfg = load_config(args.inputs, args.cfg_options, None, 'none')
        check_config(cfg)
        picture = save_figure(draw_batch(first_batch(cfg, args.number), args.number), args.out / 'inputs.png')
        text = f'The first crops of {args.inputs}; patches that the students do not see are grey.'
        sections.append(Section('Inputs', text, picture))
    if args.files:
        device = 'cuda' if torch.cuda.is_available() else 'cpu'
        networks = open_networks(args.files, args.subnets, args.branch, args.size, device)
        images = read_images(open_images(args.images), max(args.gallery, args.number))
        sections += LearnedPictures(networks, images, args.number, args.out).draw()
    page = write_page(args.out / 'index.html', 'What the networks see', sections)
    print(f'{len(sections)} pictures, all on one page: {page}')
