#!/bin/bash
#SBATCH -J alpaka
#SBATCH --gres=gpu:1
#SBATCH -t 1:00:00
. spack/share/spack/setup-env.sh
spack load cmake@3.29.1
spack load hip@6.3.4
export CXX=clang++
cmake -B build -S alpaka -Dalpaka_DEP_HIP=ON -DCMAKE_HIP_ARCHITECTURES=gfx90a
cmake --build build --parallel
ctest --test-dir build
