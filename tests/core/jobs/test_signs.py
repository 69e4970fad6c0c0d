"""Signs: what of a script counts, how sure it is, and which wins."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slurm_het.core.jobs.signs import weigh
from slurm_het.core.syntax.script import MAX_SCRIPT, read_script
from tests.support.world import policy

TABLE = policy().signs


def vendors(text: str) -> str:
    return "|".join(weigh(read_script(text), TABLE).vendors)


def scenario(text: str) -> str | None:
    by = weigh(read_script(text), TABLE).scenario_by
    return by.sign.scenario if by else None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # Modules in any spelling; a continued line; spack.
        ("module load rocm-5.4.3", "amd"),
        ("module load PyTorch/2.7.0-rocm-6.2.4-python-3.12", "amd"),
        ("module load compiler/dtk/25.04", "hygon"),
        ("module load compiler/rocm/dtk-23.04.1", "hygon"),
        ("module load devel/cuda/11.6", "nvidia"),
        ("module load namd/NAMD_3.0_multicore-CUDA-SingleNode", "nvidia"),
        ("module load gcc \\\n  cuda/12.1", "nvidia"),
        ("module purge; ml cudnn8.9-cuda12", "nvidia"),
        ("spack load cuda", "nvidia"),
        ("spack load hypre~rocm", ""),
        ("[ -f x ] && . x || module load cuda", "nvidia"),
        ("module unload cuda", ""),
        ("module swap gcc rocm/6.0", "amd"),
        # A CPU toolkit is no sign.
        ("module load intel/2018.4 intel-oneapi-mkl/2022", ""),
        # Containers.
        ("singularity exec --nv x.sif python a.py", "nvidia"),
        ("srun apptainer exec --rocm x.sif python a.py", "amd"),
        ("srun --container-image=nvcr.io#nvidia/pytorch:23.09-py3 python a.py", "nvidia"),
        ("docker run --gpus all x/y python a.py", "nvidia"),
        ("docker run --device=/dev/kfd rocm/pytorch:latest python a.py", "amd"),
        ("export SIF=/images/lumi-pytorch-rocm-6.2.sif", "amd"),
        ("apptainer run docker://ascendai/cann:8.0 python a.py", "ascend"),
        # Variables: of one vendor, of two, of several.
        ("export MIOPEN_USER_DB_PATH=/tmp/x", "amd"),
        ("HCCL_CONNECT_TIMEOUT=1200 python a.py", "ascend|habana"),
        ("export PT_HPU_LAZY_MODE=1", "habana"),
        ("export ZE_FLAT_DEVICE_HIERARCHY=COMPOSITE", "intel"),
        ("export HIP_VISIBLE_DEVICES=0", "amd|hygon"),
        ("export NCCL_DEBUG=INFO", "amd|hygon|nvidia"),
        ("export NCCL_DEBUG=INFO\nmodule load rocm", "amd"),
        ("setenv ASCEND_GLOBAL_LOG_LEVEL 3", "ascend"),
        # Paths, but not in a home directory; tools; code.
        ("source /usr/local/Ascend/ascend-toolkit/set_env.sh", "ascend"),
        ("cd /home/cann/thesis\npython a.py", ""),
        ("source ~/rocm/env.sh\npython a.py", ""),
        ("nvidia-smi\nmodule load rocm", "amd"),
        ("nvidia-smi || rocm-smi", "amd|nvidia"),
        ("python -c 'import torch_npu'", "ascend"),
        ("from numba import cuda", "nvidia"),
        ("srun pmemd.cuda -O -i x", "nvidia"),
        ("pip install torch --index-url https://download.pytorch.org/whl/rocm6.2", "amd"),
        # Options of Slurm's plugins, of containers and of launchers.
        ("#SBATCH --container-image=nvcr.io#nvidia/pytorch:24.01\npython a.py", "nvidia"),
        ("#SBATCH --uenv=/store/x-gh200-cuda12.8.squashfs\n./a", "nvidia"),
        ("#SBATCH --job-name=rocm\n./a", ""),
        ("docker run --runtime=habana mine python a.py", "habana"),
        ("docker run --runtime nvidia mine python a.py", "nvidia"),
        ("docker run -e MIOPEN_LOG_LEVEL=4 x/y python a.py", "amd"),
        ("mpirun -x PT_HPU_LAZY_MODE=1 python a.py", "habana"),
        ("srun --export=ALL,MIOPEN_FIND_MODE=1 python a.py", "amd"),
        ("apptainer instance start --nv x.sif one", "nvidia"),
        ("enroot create --name a ../nvidia+pytorch+23.10.sqsh", "nvidia"),
        # What compilers are told to build for; the values of variables; other languages.
        ("icpx -fsycl -fsycl-targets=nvptx64-nvidia-cuda a.cpp", "nvidia"),
        ("ifx -fopenmp-targets=spir64 a.f90", "intel"),
        ("export ONEAPI_DEVICE_SELECTOR=level_zero:gpu", "intel"),
        ("export ONEAPI_DEVICE_SELECTOR=cuda:0", "nvidia"),
        ("export JAX_PLATFORMS=rocm", "amd"),
        ("julia --project -e 'using CUDA; f()'", "nvidia"),
        ("julia -e 'using AMDGPU'", "amd"),
        ("export PYTORCH_ROCM_ARCH=gfx90a", "amd"),
        ("export MCCL_DEBUG=INFO", "metax|moorethreads"),
        ("export MCCL_DEBUG=INFO MUSA_VISIBLE_DEVICES=0", "moorethreads"),
        ("python a.py --device cuda:0", "amd|hygon|nvidia"),
        # What says nothing.
        ("echo module load rocm", ""),
        ("unset ASCEND_RT_VISIBLE_DEVICES", ""),
        ("pip install vllm cupy", ""),
        ("# module load rocm", ""),
        # Of a heredoc what is run; what only looks like one.
        ("cat <<'EOF' > a.sh\nmodule load rocm\nEOF\nsbatch a.sh\nmodule load cuda", "nvidia"),
        ("J=$(sbatch <<EOF\nmodule load rocm\nEOF\n)\nmodule load cuda", "nvidia"),
        ("cat <<EOF | tee a.sh\nmodule load rocm\nEOF\nbash a.sh", "amd"),
        ("cat > a <<EOF\nmodule load rocm\nEOF\nmv a b.sh\nbash b.sh", "amd"),
        ("x=$((1 <<N))\nmodule load rocm\nN", "amd"),
        # What may fail, is asked for, or comes after a condition has ended.
        ("nvidia-smi\nmodule load rocm || (echo no; exit 1)", "amd"),
        ("nvidia-smi\nmodule load rocm >/dev/null 2>&1 || true", "amd|nvidia"),
        ("which nvidia-smi &>/dev/null && module load cuda || module load rocm", "amd|nvidia"),
        ("nvidia-smi\nfor f in a; do if [ $f ]; then echo; fi; done\nmodule load rocm", "amd"),
        # Two branches mean both; a port keeps the words of what it was ported from.
        ("if [ $1 = a ]; then\nmodule load rocm\nelse\nmodule load cuda\nfi", "amd|nvidia"),
        ("module load cuda\nsource /usr/local/Ascend/set_env.sh", "ascend"),
    ],
)
def test_which_vendors_a_script_can_run_on(text: str, expected: str) -> None:
    assert vendors(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("torchrun example_chat_completion.py", "inference"),
        ("torchrun --nproc_per_node 8 train_gpt.py", "training"),
        ("torchrun main.py", "training"),
        ("yolo train data=x.yaml", "training"),
        ("yolo predict model=x.pt", "inference"),
        ("python main.py transcribe talks", "inference"),
        ("alpaca_eval --model_configs m", "inference"),
        ("srun container_wrapper exec accelerate launch run_evals.py", "inference"),
        ("cd train", None),
        ("sbatch train.sh", None),
        ("python main.py --mode train --listen", "training"),
        ("python main.py --listen 0.0.0.0", "inference"),
        ("accelerate launch --mixed_precision fp16 translate.py --data x", "inference"),
        ("deepspeed --num_gpus 4 inference-test.py", "inference"),
        ("srun lm_eval --model vllm --tasks mmlu", "inference"),
        ("python test.py --data /datasets/train", "inference"),
        ("python -m src.train cfg", "training"),
        ("python run_ner.py --do_train --do_predict", "training"),
        ("srun bash -c 'python finetune.py'", "training"),
        ("pip install vllm\npython train_grpo.py", "training"),
        ("vllm serve m &\npython3 -m verl.trainer.main_ppo", "training"),
        ("ollama serve &\npython run.py", "inference"),
        ("export L='python -m torch.distributed.run'\n$L pretrain_gpt.py", "training"),
        ("python client.py --server euler", None),
        ("cp train.py old/\n./solver", None),
        ("echo serving\n./solver", None),
        ("jupyter lab --no-browser", "inference"),
    ],
)
def test_the_scenario_is_that_of_what_is_launched(text: str, expected: str | None) -> None:
    assert scenario(text) == expected


def test_a_long_script_is_read_at_both_ends_and_where_it_loads() -> None:
    filling = [f"step_{n} --option {n}" for n in range(900)]
    middle = [*filling[:450], "module load rocm", *filling[450:]]
    lines = ["#!/bin/bash", *middle, "#HET memory=24G", *filling[:3], "python train.py"]
    script = read_script("\n".join(lines))
    weighed = weigh(script, TABLE)
    assert weighed.vendors == ("amd",)
    assert str(weighed.vendors_by).startswith(f"line {lines.index('module load rocm') + 1} loads")
    assert str(weighed.scenario_by).startswith(f"line {len(lines)} runs")
    assert script.directives == ((lines.index("#HET memory=24G") + 1, "memory=24G"),)


def test_the_evidence_tells_the_line_and_what_was_outweighed() -> None:
    weighed = weigh(read_script("nvidia-smi\n\nmodule load rocm/6.0"), TABLE)
    assert str(weighed.vendors_by) == "line 3 loads rocm"
    assert str(weighed.vendors_against) == "line 1 runs nvidia-smi"


@given(st.text(max_size=400))
def test_no_text_fails(text: str) -> None:
    weigh(read_script(text), TABLE)


@pytest.mark.parametrize(
    "text",
    ["\n".join(f"a{i}" for i in range(20_000)), '"' * MAX_SCRIPT, "a" * 50 + "\\\n" * 9_000,
     "python train.py " * 4_000, "'a" * 30_000, "|".join(["x"] * 32_000), "$(" * 30_000,
     "bash -c '" * 7_000, "\n".join(f"#HET{' ' * 4_000}x{n}" for n in range(15)), "sh " * 20_000,
     "\n".join(f"{'sh ' * 1_360}{n}" for n in range(15)), "#" + " " * 60_000 + "HET a=1",
     "cat > a <<EOF\n" * 4_000 + "EOF", "\n".join(f"cat > {n} <<E\nE" for n in range(5_000)),
     "\n".join(f"if [ {n} ]; then try:{' ' * n}" for n in range(350)), "<<a;" * 16_000 + "\na",
     "/" * MAX_SCRIPT, "module load " + "cuda-" * 12_000],
)  # fmt: skip
def test_hostile_texts_take_bounded_time(text: str) -> None:
    started = time.process_time()
    weigh(read_script(text[:MAX_SCRIPT]), TABLE)
    assert time.process_time() - started < 0.25
