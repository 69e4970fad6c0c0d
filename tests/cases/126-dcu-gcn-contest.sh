#!/bin/bash
#SBATCH -J gcn
#SBATCH -p ty_xd
#SBATCH -N 1
#SBATCH -n 8
#SBATCH --gres=dcu:1
module switch compiler/dtk/22.10.1 compiler/dtk/23.04
hipify-perl gcn_verify.cu > gcn_verify.cpp
hipcc gcn_verify.cpp -o gcn_verify
./gcn_verify 64 16 8 graph.txt embedding.bin weight.bin
