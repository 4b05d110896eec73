#!/bin/bash
#SBATCH --job-name=hanse-a1
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gres=gpu:4
#SBATCH --time=0-01:00:00
#SBATCH --signal=B:USR1@300
#SBATCH --no-requeue
#SBATCH --output=/scratch/hanse/runs/r1/attempts/0001/job.log
#SBATCH --open-mode=append
#SBATCH --chdir=/scratch/hanse/runs/r1/attempts/0001

hanse_run=/scratch/hanse/runs/r1
hanse_attempt=/scratch/hanse/runs/r1/attempts/0001
if (set -o noclobber; echo "$SLURM_JOB_ID" > "$hanse_attempt/claim") 2>/dev/null; then
  sync "$hanse_attempt/claim"
elif [ ! -r "$hanse_attempt/claim" ]; then
  echo "hanse: cannot create $hanse_attempt/claim" >&2
  exit 73
elif [ "$(cat "$hanse_attempt/claim")" != "$SLURM_JOB_ID" ]; then
  cat "$hanse_attempt/claim" > "$hanse_attempt/doubled.$SLURM_JOB_ID"
  echo "hanse: job $SLURM_JOB_ID: another job holds this attempt's claim"
  exit 0
fi
if [ -e "$hanse_run/FINISHED" ]; then
  echo "hanse: job $SLURM_JOB_ID: the run was finished already"
  exit 0
fi

cd /scratch/hanse/runs/r1/attempts/0001 || exit 73
export HANSE_RUN_DIR=/scratch/hanse/runs/r1
export HANSE_ATTEMPT=1
export HANSE_ACCELERATORS_PER_NODE=4
export HANSE_TICKET_KEY=a2V5
export HANSE_DATA_DIR=/scratch/hanse/data
export HANSE_JOB_ID="$SLURM_JOB_ID"
unset SLURM_CPU_BIND SLURM_CPU_BIND_LIST SLURM_CPU_BIND_TYPE SLURM_CPU_BIND_VERBOSE
hanse_host=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
[ -n "$hanse_host" ] || { echo "hanse: the first node has no address" >&2; exit 68; }
export HANSE_RDZV_HOST="$hanse_host"
export HANSE_RDZV_PORT=$((20000 + ${SLURM_JOB_ID} % 10000))

hanse_stop=0 hanse_woken=0 hanse_srun=
trap 'hanse_stop=1 hanse_woken=1; [ -z "$hanse_srun" ] || kill -USR1 "$hanse_srun"' USR1
hanse_step() {
  local name=$1 nodes=$2 usr1=$3 code again
  shift 3
  if [ "$hanse_stop" = 1 ]; then echo "hanse: the wall time is nearly over: no step $name"; exit 0; fi
  export HANSE_NODES="$nodes" HANSE_RDZV_ID="$SLURM_JOB_ID-$name"
  srun --job-name="$name" --nodes="$nodes" --ntasks="$nodes" --ntasks-per-node=1 \
    --cpu-bind=none --kill-on-bad-exit=1 --wait=0 \
    bash -c 'export HANSE_NODE_RANK="$SLURM_NODEID"; [ "$0" = default ] || trap "" USR1; exec "$@"' "$usr1" "$@" &
  hanse_srun=$!
  while
    hanse_woken=0; wait "$hanse_srun"; again=$?
    [ "$again" = 127 ] || code=$again
    [ "$hanse_woken" = 1 ]
  do :; done
  hanse_srun=
  [ "$code" = 0 ] || exit "$code"
}

hanse_step prepare 1 ignored /opt/hanse/bin/python3 -m hanse train --prepare
hanse_step train 2 ignored /opt/hanse/bin/python3 -m hanse train
exit 0
