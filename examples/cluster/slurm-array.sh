#!/bin/sh
# Renders your recipes as an array of Slurm's: each task renders a shard of the run, with a ComfyUI of its own on its GPU.
#
#     sbatch --wait slurm-array.sh && comfy-runner merge s3://bucket/lake-shards --to s3://bucket/lake
#
# A task that is requeued goes on where it was. "comfy-runner[remote]" has to be installed on the nodes; the store's credentials are
# found by its usual means, such as ~/.aws. OUT can be a folder of a shared disk as well.
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
