"""Trains every configuration of a small space on scikit-learn's digits, once and in full, into `digits_table.json`.

    OMP_NUM_THREADS=1 python -m benchmarks.digits_table

About ten minutes of one core. The table is what `search_efficiency.py` replays searches against.
"""

import json
import time
from pathlib import Path

import torch

from search_spaces.composition import compose
from search_spaces.schema import StudyConfig
from trainables.data.training_data import prepare_training_data
from trainables.training.loop import train
from tuning.search.grid import Grid
from tuning.search.space import Space

TABLE = Path(__file__).with_name("digits_table.json")

STUDY = {
    "name": "digits-table",
    # Half of the images validate: 719 of them, so that one image is 0.14 points.
    "data": {"dataset": "digits", "validation_fraction": 0.5},
    "model": {"name": "cnn", "blocks": 2, "dense_units": 32, "filters": 8},
    "optimizer": {"name": "adamw", "learning_rate": 0.001},
    "training": {"max_epochs": 27, "batch_size": 64, "precision": "fp32"},
    "space": {
        "model.filters": {"choices": [4, 8, 16, 32]},
        "model.kernel_size": {"choices": [3, 5]},
        "model.batch_norm": {"choices": [False, True]},
        "model.dropout": {"choices": [0.0, 0.4]},
        "optimizer.name": {"choices": ["sgd", "adamw"]},
        "optimizer.learning_rate": {"choices": [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03]},
        "optimizer.momentum": {"choices": [0.0, 0.9], "when": {"optimizer.name": "sgd"}},
    },
}


def main() -> None:
    torch.set_num_threads(1)
    study = StudyConfig.model_validate(STUDY)
    data = prepare_training_data(study.data)
    images = len(data.validation_indices)
    grid = Grid(Space(study))
    began, rows = time.monotonic(), []
    for index in range(grid.size):
        values = grid[index]
        correct = [round(epoch["val_accuracy"] * images) for epoch in train(compose(study, values), data)]
        rows.append(json.dumps([[values.get(path) for path in study.space], correct], separators=(",", ":")))
        if index % 20 == 0:
            print(f"{index}/{grid.size} {time.monotonic() - began:.0f} s", flush=True)
    head = {"study": STUDY, "images": images, "torch": torch.__version__, "columns": list(study.space)}
    TABLE.write_text(json.dumps(head)[:-1] + ',"rows":[\n' + ",\n".join(rows) + "\n]}\n")


if __name__ == "__main__":
    main()
