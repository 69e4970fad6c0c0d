#!/bin/bash
#SBATCH --gres=gpu:1
#SBATCH -t 0:20:00
cnperf-cli record -o record_log cnvs -r memory_bandwidth -c cnvs.example.yml
cnperf-cli report -i record_log
