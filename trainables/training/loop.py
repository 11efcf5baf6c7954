"""Trains one trial: epochs of batches, a metrics dict per epoch, checkpoints in between."""

import math
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional

from trainables.config import TrialConfig
from trainables.config.objective import Objective
from trainables.data.batches import count_batches, iterate_batches
from trainables.data.training_data import TrainingData
from trainables.errors import DivergedError, InfeasibleError
from trainables.models.classifier import Classifier
from trainables.models.initialization import initialize
from trainables.models.zoo import build_model
from trainables.training.checkpoint import (
    Checkpoint,
    CheckpointWarning,
    load_checkpoint,
    save_best,
    save_checkpoint,
    save_frozen,
)
from trainables.training.checkpoint_check import require_fit
from trainables.training.device import Compute, choose_compute
from trainables.training.evaluation import evaluate
from trainables.training.features import has_fixed_features, head_task, image_task
from trainables.training.optimizers import build_optimizer, set_learning_rate
from trainables.training.schedules import learning_rate_factor

DIVERGENCE_LOSS = 1e4
"""Cross-entropy beyond which a trial has diverged; guessing costs ln(classes), under 10 for any data set here."""

_OUT_OF_MEMORY = ("allocate memory", "out of memory", "bad_alloc")
"""Parts of messages of torch's allocators, which have no exception class of their own."""

Metrics = dict[str, float]


class UnsavedBestWarning(CheckpointWarning):
    """The weights of the best epoch are only in memory."""


def build_classifier(config: TrialConfig, data: TrainingData) -> Classifier:
    """Build the trial's untrained classifier; the same seed gives the same weights."""
    torch.manual_seed(config.training.seed)
    body = build_model(config.model, data.image_shape, len(data.classes))
    initialize(body, config.training.initialization)
    return Classifier(body, data.mean, data.std)


def train(
    config: TrialConfig,
    data: TrainingData,
    *,
    folder: Path | None = None,
    objective: Objective | None = None,
    cache_features: bool = True,
) -> Iterator[Metrics]:
    """Train and yield each epoch's metrics: `train_loss`, `val_loss`, `val_accuracy`, `learning_rate`, `epoch_seconds`.

    If a checkpoint cannot be written, this warns: with `UnsavedBestWarning` while the best epoch's weights are not on
    disk, else with `CheckpointWarning`.

    With a `folder`, training resumes from the newest checkpoint there. The epochs in it are yielded without training,
    so the caller always sees every epoch from the first.

    The head of a frozen backbone is trained on cached features if the augmentation does not change images. With
    `cache_features` False, features are recomputed in every epoch, which only takes longer.

    Raises:
        DataError: the feature cache cannot be written or read.
        DivergedError: the loss is NaN, infinite or above `DIVERGENCE_LOSS`.
        InfeasibleError: the model cannot be built on these images, or memory ran out.
    """
    with _memory_errors_as_infeasible(config):
        run = _Run(config, data, folder, objective or Objective(), cache_features)
        yield from list(run.history)
        while len(run.history) < config.training.max_epochs:
            yield run.next_epoch()


class _Run:
    """Mutable state of one trial."""

    def __init__(
        self,
        config: TrialConfig,
        data: TrainingData,
        folder: Path | None,
        objective: Objective,
        cache_features: bool,
    ) -> None:
        self._config = config
        self._folder = folder
        self._objective = objective
        self._hash = config.canonical_hash(data.fingerprint)
        self._compute: Compute = choose_compute(config.training.precision)
        classifier = build_classifier(config, data)
        classifier.to(self._compute.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's type stubs
        if cache_features and has_fixed_features(classifier, config.augmentation):
            self._task = head_task(classifier, config, data, self._compute)
        else:
            self._task = image_task(classifier, config, data)
        self._classifier = classifier
        self._model = self._task.module
        self._forward: nn.Module = torch.compile(self._model) if config.training.compile else self._model  # type: ignore[assignment]  # compile is typed as a function
        self._optimizer = build_optimizer(config.optimizer, self._model)
        self._generator = torch.Generator().manual_seed(config.training.seed)
        self.history: list[Metrics] = []
        self._unsaved_best: dict[str, torch.Tensor] | None = None
        self._frozen_is_saved = False
        self._saved_at = time.monotonic()
        if folder is not None:
            self._restore(folder)

    def next_epoch(self) -> Metrics:
        """Train one epoch, evaluate, and save checkpoints if due."""
        began = time.monotonic()
        train_loss = self._train_epoch()
        task = self._task
        validation = evaluate(self._forward, task.inputs, task.labels, task.validation_indices, self._compute)
        self._refuse_divergence(train_loss, validation.loss)
        metrics = {
            "train_loss": train_loss,
            "val_loss": validation.loss,
            "val_accuracy": validation.accuracy,
            "learning_rate": self._optimizer.param_groups[0]["lr"],
            "epoch_seconds": time.monotonic() - began,
        }
        self.history.append(metrics)
        self._save_if_due()
        return metrics

    def _train_epoch(self) -> float:
        """Train on all training images once; returns the mean loss."""
        config, task = self._config, self._task
        self._forward.train()
        total = torch.zeros((), device=self._compute.device)
        steps = count_batches(len(task.train_indices), config.training.batch_size, training=True)
        done, losses = len(self.history), [epoch["val_loss"] for epoch in self.history]
        batches = iterate_batches(
            task.inputs,
            task.labels,
            task.train_indices,
            config.training.batch_size,
            self._compute.device,
            self._generator,
        )
        for step, (inputs, labels) in enumerate(batches):
            epoch = done + step / steps
            factor = learning_rate_factor(config.schedule, epoch, config.training.max_epochs, losses)
            set_learning_rate(self._optimizer, factor)
            total += self._train_batch(inputs, labels)
        return float(total) / steps

    def _train_batch(self, inputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Take one optimizer step; returns the detached loss."""
        training = self._config.training
        inputs, targets = self._task.augment(inputs, labels, self._generator)
        if inputs.ndim == 4:  # images or feature maps
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        with self._compute.autocast():
            logits = self._forward(inputs)
        loss = functional.cross_entropy(logits.float(), targets, label_smoothing=training.label_smoothing)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if training.gradient_clip is not None:
            nn.utils.clip_grad_norm_(self._model.parameters(), training.gradient_clip)
        self._optimizer.step()
        return loss.detach()

    def _refuse_divergence(self, train_loss: float, val_loss: float) -> None:
        for name, loss in (("training", train_loss), ("validation", val_loss)):
            if not math.isfinite(loss) or loss > DIVERGENCE_LOSS:
                raise DivergedError(
                    f"{name} loss is {loss:.4g} after epoch {len(self.history) + 1}: training diverged; "
                    "a lower learning rate or gradient clipping would help"
                )

    def _save_if_due(self) -> None:
        if self._folder is None:
            return
        try:
            self._save_best(self._folder)
            self._save_checkpoint_if_due(self._folder)
        except OSError as error:  # most likely a full disk: there may be space again after the next epoch
            problem = f"the checkpoint in {self._folder} could not be written ({error.strerror or error})"
            category = UnsavedBestWarning if self._unsaved_best is not None else CheckpointWarning
            warnings.warn(problem, category, stacklevel=2)

    def _save_best(self, folder: Path) -> None:
        """Save the weights of the best epoch; on failure, keep them in memory and try again later."""
        if self._objective.best_epoch(self.history) == len(self.history):
            self._unsaved_best = self._learnt_weights()
        if self._unsaved_best is None:
            return
        try:
            if self._task.frozen is not None and not self._frozen_is_saved:
                save_frozen(folder, self._task.frozen.weights, self._task.frozen.file)
                self._frozen_is_saved = True
            save_best(folder, self._unsaved_best)
        except OSError:
            # Copied because training will change them.
            self._unsaved_best = {name: tensor.clone() for name, tensor in self._unsaved_best.items()}
            raise
        self._unsaved_best = None

    def _save_checkpoint_if_due(self, folder: Path) -> None:
        """Called after saving the best weights, so that a checkpoint never refers to a best epoch with lost weights."""
        age = time.monotonic() - self._saved_at
        finished = len(self.history) == self._config.training.max_epochs
        if finished or age >= self._config.training.checkpoint_seconds:
            save_checkpoint(folder, self._snapshot())
            self._saved_at = time.monotonic()

    def _learnt_weights(self) -> dict[str, torch.Tensor]:
        """The classifier's weights, except those that training does not change."""
        left = self._task.frozen.weights if self._task.frozen is not None else {}
        return {name: value for name, value in self._classifier.state_dict().items() if name not in left}

    def _snapshot(self) -> Checkpoint:
        random_states = {"batches": self._generator.get_state(), "torch": torch.get_rng_state()}
        if self._compute.device.type == "cuda":
            random_states["cuda"] = torch.cuda.get_rng_state()
        return Checkpoint(
            trial_hash=self._hash,
            history=self.history,
            model=self._model.state_dict(),
            optimizer=self._optimizer.state_dict(),
            random_states=random_states,
        )

    def _restore(self, folder: Path) -> None:
        max_epochs = self._config.training.max_epochs
        checkpoint = load_checkpoint(
            folder, self._hash, lambda found: require_fit(found, self._model, self._optimizer, max_epochs)
        )
        if checkpoint is None:
            return
        self._model.load_state_dict(checkpoint.model)
        self._optimizer.load_state_dict(checkpoint.optimizer)
        self.history = checkpoint.history
        self._generator.set_state(checkpoint.random_states["batches"])
        torch.set_rng_state(checkpoint.random_states["torch"])
        if "cuda" in checkpoint.random_states and self._compute.device.type == "cuda":
            torch.cuda.set_rng_state(checkpoint.random_states["cuda"])


@contextmanager
def _memory_errors_as_infeasible(config: TrialConfig) -> Iterator[None]:
    """Turn out-of-memory errors of any allocator into `InfeasibleError`."""
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise InfeasibleError(_out_of_memory(config, error)) from error
    except RuntimeError as error:
        if not any(words in str(error) for words in _OUT_OF_MEMORY):
            raise
        raise InfeasibleError(_out_of_memory(config, error)) from error


def _out_of_memory(config: TrialConfig, error: BaseException) -> str:
    peak = f"; peak {torch.cuda.max_memory_allocated() / 2**20:.0f} MiB" if torch.cuda.is_available() else ""
    first_line = str(error).splitlines()[0] if str(error) else type(error).__name__
    return f"out of memory at batch size {config.training.batch_size}{peak} ({first_line})"
