"""Train, quantise and measure the shipped networks: ``python -m include.sr_model.training --material DIR``.

``DIR`` holds photos and clips. What is made lies under ``--work`` (cut patches, checkpoints); finished networks, their logs and
figures go to ``--out``. A run that is stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import logging
from dataclasses import replace
from pathlib import Path

import torch

from include.sr_model.network import load
from include.sr_model.training.data import CONDITIONS, held_out, training_pairs
from include.sr_model.training.recipe import RECIPES
from include.sr_model.training.train import keep_freed_memory, train
from include.sr_model.zoo import WEIGHTS

__all__ = ["main"]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m include.sr_model.training", description=__doc__)
    parser.add_argument("--material", type=Path, required=True, help="folder with photos and clips")
    parser.add_argument("--more", type=Path, nargs="*", default=[], help="folders with more photos, all of them for training")
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    parser.add_argument("--work", type=Path, default=Path("var/training"), help="patches and checkpoints")
    parser.add_argument("--models", nargs="*", default=list(RECIPES), choices=list(RECIPES), metavar="STEM")
    parser.add_argument("--minutes", type=float, help="for each network; without it the recipe's steps are made")
    parser.add_argument("--steps", type=int, help="for each network, in place of the recipe's")
    parser.add_argument("--batch", type=int, help="pairs in a step, in place of the recipe's; a GPU wants many")
    parser.add_argument("--again", action="store_true", help="begin as the networks of --out, to make those better")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, help="of the processor")
    parser.add_argument(
        "--checkpoints-only", action="store_true", help="write no networks; a later run does, from the checkpoints"
    )
    parser.add_argument("--clips", type=int, default=12, help="pseudo-clips made of each photo")
    return parser.parse_args()


def main() -> None:
    """Train every network that is asked for, in the order of the recipes."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    arguments = _arguments()
    keep_freed_memory()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    arguments.work.mkdir(parents=True, exist_ok=True)
    (arguments.out / "logs").mkdir(parents=True, exist_ok=True)
    for stem in (stem for stem in RECIPES if stem in arguments.models):
        recipe = replace(RECIPES[stem], batch=arguments.batch or RECIPES[stem].batch)
        pairs = training_pairs(
            arguments.material, recipe.scale, recipe.variant, arguments.work, more=arguments.more, count=arguments.clips
        )
        material = {condition: held_out(arguments.material, recipe.scale, condition, arguments.work) for condition in CONDITIONS}
        own = material["clean" if recipe.variant == "clean" else "crf23"]
        log = arguments.out / "logs" / f"{recipe.stem}{'-again' if arguments.again else ''}.jsonl"
        known = load(arguments.out / f"{recipe.stem}.safetensors") if arguments.again else None
        model = train(
            recipe,
            pairs,
            own,
            arguments.work,
            log,
            device=arguments.device,
            minutes=arguments.minutes,
            steps=arguments.steps,
            known=known,
        )
        if arguments.checkpoints_only:
            continue
        # Here, since a machine that only trains needs neither onnx nor OpenVINO.
        from include.sr_model.training.ship import ship  # noqa: PLC0415

        report = ship(recipe, model.network(), arguments.out, pairs.small, material)
        (arguments.out / "logs" / f"{recipe.stem}.json").write_text(json.dumps(report, indent=1) + "\n")
        logging.getLogger(__name__).info("%s %s", recipe.stem, json.dumps(report))


if __name__ == "__main__":
    main()
