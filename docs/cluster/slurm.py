"""A dask cluster on SLURM for popeq: run on the login node, then give popeq the address that it prints.

Needs: pip install '.[dask]' dask-jobqueue. Change the queue, cores and time to yours.
"""

from dask_jobqueue import SLURMCluster

if __name__ == "__main__":
    cluster = SLURMCluster(
        queue="gpu",
        cores=1,  # stages side by side in one job
        memory="32GB",
        walltime="08:00:00",
        job_extra_directives=["--gres=gpu:1", "--cpus-per-task=8"],
        worker_extra_args=["--resources", "GPU=1"],
    )
    cluster.scale(jobs=4)
    print(f"--engine dask --scheduler {cluster.scheduler_address}", flush=True)
    input("Enter ends the cluster ")
