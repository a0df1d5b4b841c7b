"""Which device a process computes on, and how: threads, determinism, one process a GPU."""

import os
import platform
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from sagan.errors import UserError
from sagan.store.git import said_by
from sagan.store.locks import taken

# In the environment of a process that measures beside the trainings of another one: the GPU that is held there.
GPU_OF_PARENT = "SAGAN_GPU_OF_PARENT"


@contextmanager
def device_for(execution: Mapping[str, Any], threads: int) -> Iterator[torch.device]:
    """A device, held until the block ends: "auto" takes a GPU where there is one, of those that this process sees.

    Each has one job at a time. Within a process blocks may overlap: all have the GPU of the first.

    Raises:
        UserError: "cuda" is asked for and there is none, or PyTorch cannot use those that there are.
    """
    setting = execution["device"]
    torch.set_num_threads(threads)
    set_numerics()
    gpus = 0 if setting == "cpu" else usable_gpus()
    if setting == "cuda" and not gpus:
        raise UserError("execution.device = 'cuda': torch sees no GPU here; use 'auto' or 'cpu'")
    if not gpus:
        yield torch.device("cpu")
        return
    with _OWN.held() as index, torch.cuda.device(index):
        # Graphs and collectives are made on the current device.
        yield torch.device("cuda", index)


def set_numerics(deterministic: bool = True, precision: str = "float32") -> None:
    """Determinism and TF32 of this process. bfloat16 is the step's own: see `Trainer`.

    TF32 rounds the factors of float32 products to 10 bits, on GPUs alone: never unasked.
    """
    tf32 = precision == "tf32"
    # Without this cuBLAS may choose an algorithm whose sums depend on the stream (its documentation says so).
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(deterministic)
    # Or every new tensor is filled with NaN first: a kernel for each, and no byte of a result is read before it is set.
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.backends.cudnn.benchmark = not deterministic
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32


def usable_gpus() -> int:
    """How many GPUs this process may use (CUDA_VISIBLE_DEVICES respected).

    Raises:
        UserError: there are some, which the driver's own library counts, and PyTorch cannot use them.
    """
    counted = torch.cuda.device_count()
    if torch.cuda.is_available():
        return counted
    is_for_cpus = torch.version.cuda is None and torch.version.hip is None
    is_hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    if counted or (is_for_cpus and not is_hidden and driver() is not None):
        built = "for CPUs alone" if is_for_cpus else f"for CUDA {torch.version.cuda}"
        mend = "install a build for GPUs" if is_for_cpus else "update it"
        raise UserError(
            f"{counted or 'NVIDIA'} GPUs are here and PyTorch can use none of them: torch {torch.__version__} is built "
            f"{built}, the driver is {driver()}; {mend}, or say execution.device: cpu"
        )
    return 0


def driver() -> str | None:
    """The version of NVIDIA's driver; None where nothing tells it."""
    return said_by("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader", "--id=0")


class _HeldGpu:
    """The GPU of this process, while some block holds it."""

    def __init__(self) -> None:
        self._blocks, self._gpu, self._index = 0, ExitStack(), 0

    @contextmanager
    def held(self) -> Iterator[int]:
        if self._blocks == 0:
            if (parents := os.environ.get(GPU_OF_PARENT)) is not None:
                self._index = int(parents)
            elif dist.is_initialized():
                self._index = _gpu_of_rank()
            else:
                self._index = self._gpu.enter_context(_free_gpu())
        self._blocks += 1
        try:
            yield self._index
        finally:
            self._blocks -= 1
            if self._blocks == 0:
                self._gpu.close()


_OWN = _HeldGpu()


def _gpu_of_rank() -> int:
    """Each of several processes of one run has a GPU at once: waiting for slots one by one could go on for ever."""
    rank, count = int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])
    if count > torch.cuda.device_count():
        raise UserError(
            f"{count} processes and {torch.cuda.device_count()} GPUs: each process needs one of its own; "
            "start torchrun with a lower --nproc-per-node"
        )
    return rank


@contextmanager
def _free_gpu() -> Iterator[int]:
    """The index of a GPU that no other process of this user has, under a lock of the physical device; waits for one."""
    folder = runtime_folder()
    while True:
        for index, physical in enumerate(physical_gpus()):
            # A process that measures beside keeps the lock with it.
            if (lock := taken(folder / f"{physical}.lock", inherited=True)) is not None:
                try:
                    yield index
                finally:
                    lock.release()
                return
        time.sleep(1.0)


def runtime_folder() -> Path:
    """The user's own folder for what lives as long as processes do: nobody else may write in it.

    Raises:
        UserError: somebody else has made it.
    """
    user = os.getuid()
    # Whatever TMPDIR says: all of the user's processes must meet here. /run/user goes when the user logs out.
    folder = Path(f"/tmp/sagan-{user}")
    folder.mkdir(mode=0o700, exist_ok=True)
    found = folder.lstat()
    if found.st_uid != user or not stat.S_ISDIR(found.st_mode) or found.st_mode & 0o022:
        raise UserError(f"{folder}: is not a folder of this user's own; delete it")
    return folder


def physical_gpus() -> list[str]:
    """Identifiers of the GPUs that this process may use, in torch's order: the same ones in every process.

    An index is not such a name: under a scheduler that confines jobs to their devices each sees its own as "0".
    """
    inherited = [part.strip() for part in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    names = []
    for index in range(torch.cuda.device_count()):
        entry = inherited[index] if index < len(inherited) else ""
        if entry.startswith("MIG-"):
            # All slices of a GPU may tell the GPU's own UUID.
            names.append(entry)
        else:
            # Builds of torch for other makers' GPUs tell none.
            uuid = getattr(torch.cuda.get_device_properties(index), "uuid", None)
            names.append(entry or str(index) if uuid is None else f"GPU-{uuid}")
    return names


def describe(device: torch.device) -> str:
    """A device in words, such as "cuda (NVIDIA H100)" or "cpu (AMD EPYC)"."""
    if device.type == "cuda":
        return f"cuda ({torch.cuda.get_device_name(device)})"
    return f"cpu ({_cpu_name()})"


def _cpu_name() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
