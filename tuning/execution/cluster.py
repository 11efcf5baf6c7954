"""Starts a private Ray on this machine, or connects to a running cluster."""

import logging
import os
import socket
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from search_spaces.schema import ResourcesConfig
from trainables.errors import InputError
from trainables.permissions import file_mode
from trainables.safe_files import remove_file, replace_file
from tuning.execution.authentication import LOOPBACK, Mode, cluster_mode, fresh_token, on_loopback, ray_environment
from tuning.execution.session_folder import session_folder
from tuning.execution.signals import handlers_kept
from tuning.storage.observer import Observer

_ENVIRONMENT = {
    # Ray's trial loggers duplicate the journal.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # This program handles signals: SIGTERM and SIGHUP stop a study as cleanly as Ctrl-C.
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    # The journal is the record; Ray's snapshot of the experiment is never read.
    "TUNE_GLOBAL_CHECKPOINT_S": str(10**9),
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    "TUNE_WARN_THRESHOLD_S": "60",
    # A failed trial has no metrics; its result says so.
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",
    # Waiting threads yield their core: several trials share it, and spinning made batches 2 to 12 times slower.
    "OMP_WAIT_POLICY": "PASSIVE",
    # Details of a worker's death go to the log: `tuning.storage.driver_log` collects Ray's loggers.
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "1",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_TRAIN_ENABLE_V2_MIGRATION_WARNINGS": "0",
    "RAY_DEDUP_LOGS": "0",
}


_CONNECT_SECONDS = 5.0
_OPEN_CLUSTER = (
    "the Ray cluster at {address} does not require a token: anyone who can reach its ports can run code as its user "
    "and change this study. Start every node with RAY_AUTH_MODE=token and the same ~/.ray/auth_token, which "
    "`ray get-auth-token --generate` makes"
)


def available_cpus() -> int:
    """CPUs that trials on this machine share: `$TUNE_CPUS`, else the cores that this process may use.

    Raises:
        InputError: `$TUNE_CPUS` is not a whole number above 0.
    """
    chosen = os.environ.get("TUNE_CPUS")
    if not chosen:
        return len(os.sched_getaffinity(0))
    if not chosen.isdecimal() or int(chosen) == 0:
        raise InputError(f"TUNE_CPUS is {chosen!r}; set it to a whole number of CPUs above 0, for example 4")
    return int(chosen)


def check_local_resources(resources: ResourcesConfig) -> None:
    """Reject trials that this machine can never run, before Ray starts.

    Raises:
        InputError: a trial needs more CPUs or GPUs than there are.
    """
    cpus, gpus = available_cpus(), _local_gpus()
    _check(resources, cpus, gpus, "this machine")


def check_address(address: str) -> None:
    """Reject a cluster that cannot be joined, before anything starts.

    Raises:
        InputError: no cluster at the address, the token is rejected, or there is no token; with a fix.
    """
    if address == "local" or address.startswith("ray://"):  # whether such a cluster requires a token cannot be checked
        raise InputError(
            f"--address is {address!r}; it takes `auto` or the HOST:PORT that `ray start --head` printed, on a node of "
            "that cluster. Omit it to run on this machine only"
        )
    host, separator, port = address.rpartition(":")
    if separator and port.isdecimal():  # otherwise `auto`, or something only Ray understands
        try:  # Ray would retry for minutes
            socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
        except OSError as error:
            raise _no_cluster(address, error) from error
    _mode(address)


@contextmanager
def connect(address: str | None, resources: ResourcesConfig, shared: Path, observer: Observer) -> Iterator[None]:
    """Connect to the cluster at `address`, or start a private Ray here; disconnect or stop it at the end.

    Raises:
        InputError: no cluster answers, it rejects the token, none of its nodes has the resources, or a node cannot
            read `shared`.
    """
    os.environ.update({name: value for name, value in _ENVIRONMENT.items() if name not in os.environ})
    logging.getLogger("ray.tune.tune").setLevel(
        logging.CRITICAL
    )  # "Trials did not complete", although they were restarted
    logging.getLogger("ray.tune.analysis").setLevel(
        logging.ERROR
    )  # warns about missing files that Ray was told not to write
    if address is None:
        with _private_ray():
            yield
    else:
        mode = _mode(address)
        if mode == "disabled":
            observer.warning(_OPEN_CLUSTER.format(address=address))
        with ray_environment(mode), _initialized(address):
            _check_cluster(address, resources, shared)
            yield


@contextmanager
def _private_ray() -> Iterator[None]:
    """A private Ray on the loopback interface, with its own token and folder."""
    with session_folder() as folder, fresh_token(), on_loopback():
        options = {"num_cpus": available_cpus(), "include_dashboard": False, "_node_ip_address": LOOPBACK}
        with _initialized("local", _temp_dir=str(folder), **options):
            yield


@contextmanager
def _initialized(address: str, **options: Any) -> Iterator[None]:
    """Initialize Ray, and shut it down at the end of the block."""
    import ray

    try:
        with warnings.catch_warnings(), handlers_kept():
            warnings.simplefilter("ignore")  # Ray prints deprecation warnings at every start
            ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING, **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise _no_cluster("this machine" if address == "local" else address, error) from error
    try:
        yield
    finally:
        ray.shutdown()


def _mode(address: str) -> Mode:
    try:
        return cluster_mode(address)
    except ConnectionError as error:
        raise _no_cluster(address, error) from error


def _no_cluster(address: str, error: Exception) -> InputError:
    return InputError(
        f"no Ray cluster answers at {address} ({error}). Start one with `ray start --head` or `ray up cluster.yaml`, "
        "or omit --address to run on this machine only"
    )


def concurrent_trials(resources: ResourcesConfig) -> int:
    """How many trials fit on the connected cluster at once."""
    import ray

    fitting = sum(
        _fitting(resources, node["Resources"].get("CPU", 0), node["Resources"].get("GPU", 0))
        for node in ray.nodes()
        if node["Alive"]
    )
    return min(fitting, resources.max_concurrent or fitting)


def local_trials(resources: ResourcesConfig) -> int:
    """How many trials fit on this machine at once; at least 1, even if not one fits."""
    fitting = max(1, _fitting(resources, available_cpus(), _local_gpus() if resources.gpus_per_trial else 0))
    return min(fitting, resources.max_concurrent or fitting)


def _fitting(resources: ResourcesConfig, cpus: float, gpus: float) -> int:
    by_cpu = int(cpus // resources.cpus_per_trial)
    if resources.gpus_per_trial == 0:
        return by_cpu
    return min(by_cpu, int(gpus / resources.gpus_per_trial + 1e-9))


def _check(resources: ResourcesConfig, cpus: float, gpus: float, place: str) -> None:
    if resources.cpus_per_trial > cpus:
        raise InputError(f"resources.cpus_per_trial is {resources.cpus_per_trial}, but {place} has {cpus:g} CPUs")
    if resources.gpus_per_trial > gpus:
        raise InputError(f"resources.gpus_per_trial is {resources.gpus_per_trial:g}, but {place} has {gpus:g} GPUs")


def _local_gpus() -> int:
    import torch

    return torch.cuda.device_count()


def _check_cluster(address: str, resources: ResourcesConfig, shared: Path) -> None:
    import ray

    nodes = [node for node in ray.nodes() if node["Alive"]]
    if not any(_fitting(resources, node["Resources"].get("CPU", 0), node["Resources"].get("GPU", 0)) for node in nodes):
        largest = max(nodes, key=lambda node: float(node["Resources"].get("CPU", 0)))["Resources"]
        _check(resources, largest.get("CPU", 0), largest.get("GPU", 0), f"the largest node of {address}")
        raise InputError(f"no node of {address} has the CPUs and GPUs that one trial needs ({resources})")
    _check_shared_storage([str(node["NodeID"]) for node in nodes], shared)


def _check_shared_storage(node_ids: list[str], shared: Path) -> None:
    """Check that every node can read what this one writes: checkpoints go through the study's folder."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    word = uuid.uuid4().hex
    probe = shared.resolve() / f".probe-{word}"
    replace_file(probe, word.encode(), file_mode(probe.parent))

    def reads(path: str) -> bool:
        return Path(path).exists() and Path(path).read_text() == word

    task = ray.remote(num_cpus=0)(reads)
    try:
        answers = [
            task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node_id, soft=False)).remote(str(probe))
            for node_id in node_ids
        ]
        blind = [node for node, sees in zip(node_ids, ray.get(answers), strict=True) if not sees]
    finally:
        remove_file(probe, probe.parent)
    if blind:
        raise InputError(
            f"{len(blind)} of {len(node_ids)} nodes cannot read {shared}; set --storage to a folder "
            "on a file system that all nodes mount (NFS, EFS, ...)"
        )
