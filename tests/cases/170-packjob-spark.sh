#!/bin/bash
#SBATCH --job-name=spark-master
#SBATCH --time=00:10:00
#SBATCH --nodes=1
#SBATCH --mem-per-cpu=1G
#SBATCH packjob
#SBATCH --job-name spark-worker
#SBATCH --nodes=25
#SBATCH --mem-per-cpu=4G
#SBATCH --cpus-per-task=10
srun --pack-group=1 ./start_worker.sh
