"""Many swaps from a list: in several processes or on Ray, resumable, every item once.

Above the road of a photograph: each item is one ``Swapper`` call. ``jobs`` reads the list, ``run`` conducts,
``supervise`` hands items to workers and outlives their deaths, ``processes`` and ``on_ray`` start workers,
``work`` is what a worker does, ``journal`` is ``results.csv``.
"""

from stylegan_swap.batch.jobs import Job, read_jobs
from stylegan_swap.batch.run import Progress, Summary, run_batch

__all__ = ["Job", "Progress", "Summary", "read_jobs", "run_batch"]
