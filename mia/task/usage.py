"""What a process has used so far, for the summary."""

import resource
import time


def cpu_seconds() -> float:
    """CPU time of this process and its finished children so far [s]; take the difference of two calls."""
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def peak_memory_mb() -> float:
    """Largest memory this process has held [MB]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
