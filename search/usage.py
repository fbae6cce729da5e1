"""What a machine's memory, processors and GPUs are doing, in the names that MLflow shows as system metrics."""

import psutil
import torch

MEGABYTE = 1e6


def usage(device: str) -> dict[str, float]:
    """Now, and for processors the mean since the last call of this process; per cent and megabytes.

    device: of the trial; one on the CPU opens no GPU.
    """
    memory = psutil.virtual_memory()
    found = {
        "system/cpu_utilization_percentage": psutil.cpu_percent(),
        "system/system_memory_usage_megabytes": memory.used / MEGABYTE,
        "system/system_memory_usage_percentage": memory.percent,
    }
    for number in range(torch.cuda.device_count() if device == "cuda" else 0):
        free, total = torch.cuda.mem_get_info(number)
        found[f"system/gpu_{number}_memory_usage_megabytes"] = (total - free) / MEGABYTE
        found[f"system/gpu_{number}_memory_usage_percentage"] = 100 * (total - free) / total
    return found
