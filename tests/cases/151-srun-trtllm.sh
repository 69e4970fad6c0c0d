#CMD-ONLY: srun -N 2 --ntasks-per-node=8 --gpus-per-node=8 --mpi=pmix --container-image=/images/trtllm.sqsh trtllm-llmapi-launch trtllm-serve /models/deepseek --tp_size 16 --host 0.0.0.0 --port 8000
