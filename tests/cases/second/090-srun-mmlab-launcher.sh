#CMD-ONLY: srun --mpi=pmi2 -p x -n8 --gres=gpu:8 --ntasks-per-node=8 --job-name=mb python -u -m prototype.solver.cls_solver --config config.yaml
