#!/bin/sh
# Renders your recipes as a Slurm array: each task renders a shard of the run, with its own ComfyUI on its GPU.
#
#     sbatch --wait slurm-array.sh && comfy-runner merge s3://bucket/lake-shards --to s3://bucket/lake
#
# A requeued task continues where it stopped. Install "comfy-runner[remote]" on the nodes. The store's credentials are found in the
# usual places, such as ~/.aws. OUT can also be a folder on a shared disk.
#SBATCH --job-name=lake
#SBATCH --array=1-4
#SBATCH --gpus=1
#SBATCH --time=04:00:00
#SBATCH --requeue
set -eu

: "${RECIPES:=lake.yaml}"
: "${OUT:=s3://bucket/lake-shards}"
: "${COMFYUI:=cd ~/ComfyUI && exec .venv/bin/python main.py --listen 127.0.0.1 --port \"\$PORT\"}" # what starts yours
: "${PORT:=$((20000 + SLURM_JOB_ID % 20000))}" # two tasks may be on one node
export PORT

sh -c "$COMFYUI" &
trap "kill $!" EXIT
curl --silent --show-error --fail --retry 100 --retry-delay 3 --retry-connrefused --output /dev/null "http://127.0.0.1:$PORT/system_stats"

comfy-runner run $RECIPES --server "http://127.0.0.1:$PORT" --shard auto --out "$OUT"
