#!/usr/bin/env bash
# Trains on several devices, of one host or of several, each with its share of every batch.
# Usage: bash scripts/run_distribute_train.sh [DEVICE_TARGET DEVICE_NUM CONFIG [--key=value ...]]
# DEVICE_TARGET: Ascend, GPU, CPU or auto. DEVICE_NUM: devices of all hosts together.
# CONFIG: a recipe, see configs/. --key=value: as of train.py, such as --data_dir=DIR, --resume.
# Without arguments: all accelerators and the teacher of the paper's EDSR x4; where there is only a
# CPU, two processes and a teacher that fits it; the photographs in ./data. CSD is the next command.
# Several hosts: the same command on each, with NODE_NUM, NODE_RANK (0 on the first), MASTER_ADDR
# (the first one's address) and MASTER_PORT (8118). CLUSTER_TIMEOUT: seconds to find each other (600).
# The output of every rank goes to OUTPUT_DIR/logs/<start>/worker_<rank>.log.
set -euo pipefail

usage() { sed -n '2,10s/^# //p' "${BASH_SOURCE[0]}"; }

case "${1:-}" in
  -h | --help)
    usage
    exit 0
    ;;
esac
if (($# == 1 || $# == 2)); then
  usage >&2
  exit 2
fi
# shellcheck source=scripts/train_common.sh
source "$(dirname "${BASH_SOURCE[0]}")/train_common.sh"

processes() { grep -lsz "^CSD_JOB=$job\$" /proc/[0-9]*/environ | cut -d/ -f3 || true; }

end_processes() {
  local pids
  mapfile -t pids < <(processes)
  ((${#pids[@]} == 0)) || kill -KILL "${pids[@]}" 2> /dev/null || true
}

variable() { # PID NAME
  tr '\0' '\n' < "/proc/$1/environ" 2> /dev/null | sed -n "s/^$2=//p" || true
}

find_workers() {
  local pid children=()
  read -ra children 2> /dev/null < "/proc/$msrun/task/$msrun/children" || true
  for pid in "${children[@]}"; do
    case "$(variable "$pid" MS_ROLE)" in
      MS_WORKER) rank_of[$pid]=$(variable "$pid" RANK_ID) ;;
      MS_SCHED) scheduler=$pid ;;
    esac
  done
}

has_ended() { # PID: gone, or dead and not waited for
  ! grep -qs '^State:[[:space:]]*[^ZX[:space:]]' "/proc/$1/status"
}

# Runs beside the launcher, in a session of its own, and reads a pipe that the launcher holds open.
# When that ends, however the launcher died, no worker may stay: asked to save, then ended.
# shellcheck disable=SC2317,SC2329 # it is handed over by its name
guard() {
  local pid seconds=0 workers=()
  cat > /dev/null
  for pid in $(processes); do
    [[ $(variable "$pid" MS_ROLE) != MS_WORKER ]] || workers+=("$pid")
  done
  kill -TERM "${workers[@]}" 2> /dev/null || true
  while ((${#workers[@]} && ++seconds <= 30)) && kill -0 "${workers[@]}" 2> /dev/null; do
    sleep 1
  done
  end_processes
}

# shellcheck disable=SC2317,SC2329 # the traps call it
ask_to_stop() { # SIGNAL
  if (($1 == 1)); then # a terminal that closes may send several; there is nothing to write to
    ((!terminal)) || exec > /dev/null 2>&1
    ((stop == 0)) || return 0
  fi
  if ((stop || ${#rank_of[@]} < local_num)); then # the second signal, or nothing is trained yet
    echo "ending all processes" >&2
    end_processes
    exit $((128 + $1))
  fi
  stop=$1
  echo "asking every rank to finish its step and to save; once more to end at once" >&2
  # SIGTERM whatever came: a process that the shell starts in the background ignores SIGINT.
  kill -TERM "${!rank_of[@]}" 2> /dev/null || true
}

first_ended() {
  local line='.*Worker process \([0-9]*\) exit with exception. Error code: \(-\?[0-9]*\).*'
  sed -n "s/$line/\1 \2/p" "$launcher_log" | head -n 1
}

scheduler_answers() {
  timeout 3 bash -c ": < /dev/tcp/$address/$port" 2> /dev/null
}

# A function, so that all of this file is read before anything starts: an update while a run goes on
# would otherwise change the rest of it under the shell's hands.
main() {
  node_num=${NODE_NUM:-1}
  node_rank=${NODE_RANK:-0}
  check_number NODE_NUM "$node_num" 1
  check_number NODE_RANK "$node_rank" 0
  ((node_rank < node_num)) || die "NODE_RANK=$node_rank: of $node_num hosts the last is $((node_num - 1))"
  if (($#)); then
    target=$1
    total=$2
    config=$3
    shift 3
  else
    read -r target total < <(accelerators)
    config=$(default_config "$target")
    [[ $target != CPU ]] || total=2
    total=$((total * node_num))
    say_next run_distribute_train.sh "$target" "$total"
    echo "training on $total x $target with $config" >&2
  fi
  check_target "$target"
  check_number DEVICE_NUM "$total" 1
  check_config "$config"
  ((total % node_num == 0)) || die "DEVICE_NUM=$total cannot be shared evenly by $node_num hosts"
  local_num=$((total / node_num))
  if ((node_num > 1)) && [[ -z ${MASTER_ADDR:-} ]]; then
    die "NODE_NUM=$node_num needs MASTER_ADDR, the address of the host with NODE_RANK=0"
  fi
  options=(--config "$config" --device_target "$target" "$@" --runtime.distributed=true)
  folder=$(run_folder "${options[@]}")
  logs=$folder/logs/$(date +%Y%m%d-%H%M%S)
  mkdir -p "$logs" 2> /dev/null || die "cannot write to $folder; choose another with --output_dir=DIR"

  address=${MASTER_ADDR:-127.0.0.1}
  port=${MASTER_PORT:-}
  if [[ -z $port ]] && ((node_num > 1)); then
    port=8118
  elif [[ -z $port ]]; then
    port=$("$python" -c 'import socket as s; x = s.socket(); x.bind(("", 0)); print(x.getsockname()[1])')
  fi
  check_number MASTER_PORT "$port" 1024
  if [[ $target == CPU && -z ${OMP_NUM_THREADS:-} ]]; then # or each process would take all cores
    cores=$(nproc)
    threads=$((cores > local_num ? cores / local_num : 1))
    export OMP_NUM_THREADS=$threads NUMBA_NUM_THREADS=${NUMBA_NUM_THREADS:-$threads}
  fi

  # On Ascend each process to the cores near its device; elsewhere the launcher would guess.
  bind=()
  [[ $target != Ascend ]] || bind=(--bind_core True)

  # msrun runs apart from the terminal: a Ctrl-C reaches this script alone, which then asks the
  # workers to finish their step. The mark in the environment finds every process of the job.
  job=$$-$RANDOM-$(date +%s%N)
  launcher_log=$logs/msrun_$node_rank.log
  declare -gA rank_of=() # process of a worker -> its rank
  scheduler=""           # the process that introduces the ranks to each other; on the first host
  terminal=0             # whether what is said goes there
  [[ ! -t 1 && ! -t 2 ]] || terminal=1
  stop=0                 # the signal that asked to stop
  ended=""               # "PID CODE" of the first worker that ended with an error
  trap end_processes EXIT
  trap 'ask_to_stop 1' HUP
  trap 'ask_to_stop 2' INT
  trap 'ask_to_stop 15' TERM
  exec {held}> >(exec setsid bash -c "
    $(declare -f processes end_processes variable guard)
    job=$job; guard" > /dev/null 2>&1)
  PATH="$(dirname "$(command -v "$python")"):$PATH" GLOG_v=${GLOG_v:-3} CSD_JOB=$job setsid \
    "$python" -m mindspore.parallel.cluster.run --worker_num "$total" --local_worker_num "$local_num" \
    --node_rank "$node_rank" --master_addr "$address" --master_port "$port" --log_dir "$logs" \
    --cluster_time_out "${CLUSTER_TIMEOUT:-600}" --join True --tail_worker_log 999999 "${bind[@]}" \
    python3 "$root/train.py" "${options[@]}" > "$launcher_log" 2>&1 {held}>&- &
  msrun=$!
  shown=$((node_rank * local_num))
  tail -n +1 -F -s 0.3 --pid "$msrun" "$logs/worker_$shown.log" 2> /dev/null {held}>&- &
  tail=$!

  # msrun ends the other workers as soon as one fails, but then waits for its scheduler, which takes
  # another minute to notice. It does not watch the scheduler, which knows of other hosts, and without
  # which the workers stand still; and a host without one would wait half an hour for the gradients of
  # a host that is gone.
  deadline=0
  lost=""
  met=0    # whether the scheduler on another host has answered
  misses=0 # how often it has not, since
  next=5
  gone=0   # how often the scheduler on this host has been found dead: it ends a moment before msrun
  while kill -0 "$msrun" 2> /dev/null; do
    sleep 0.5 || true
    ((${#rank_of[@]} == local_num)) && [[ -n $scheduler || $node_rank != 0 ]] || find_workers
    if ((deadline)); then
      ((SECONDS < deadline)) || break
      continue
    fi
    ended=$(first_ended)
    if [[ -z $ended ]] && grep -qs '^error: ' "$logs/scheduler.log"; then
      lost=$(sed -n 's/.*The node: \([0-9]*\) is timed out.*/\1/p' "$logs/scheduler.log" | head -n 1)
      lost=${lost:-?}
      deadline=$SECONDS
    fi
    if [[ -n $scheduler ]] && has_ended "$scheduler" && ((++gone == 20)); then
      lost=scheduler
      deadline=$SECONDS
    fi
    if ((node_rank && SECONDS >= next)); then
      next=$((SECONDS + 5))
      if scheduler_answers; then
        met=1
        misses=0
      elif ((met && ++misses == 4)); then
        lost=0
        deadline=$SECONDS
      fi
    fi
    [[ -z $ended ]] || deadline=$((SECONDS + 3))
  done

  ended=$(first_ended)
  code=0
  if kill -0 "$msrun" 2> /dev/null; then
    end_processes
  fi
  wait "$msrun" 2> /dev/null || code=$?
  wait "$tail" 2> /dev/null || true
  if ((stop)); then
    code=$((128 + stop))
  elif [[ -n $ended ]]; then
    read -r pid code <<< "$ended"
    rank=${rank_of[$pid]:-?} # one that ended within half a second has no name
    if ((code < 0)); then
      echo "error: rank $rank died of signal ${code#-}; all others were ended. Its output is in" \
        "$logs/worker_$rank.log; go on with --resume" >&2
      code=1
    elif ((code != 130 && code != 143)); then
      echo "error: rank $rank ended with code $code; its output is in $logs/worker_$rank.log" >&2
    fi
  elif [[ $lost == scheduler ]]; then
    echo "error: the scheduler, which introduces the ranks to each other, has died; the ranks of this" \
      "host were ended. Its output is in $logs/scheduler.log; go on with --resume" >&2
    code=1
  elif [[ -n $lost ]]; then
    echo "error: rank $lost was lost: it, or the way to its host, is gone; the ranks of this host" \
      "were ended. Go on with --resume" >&2
    code=1
  elif ((code)); then
    echo "error: msrun ended with code $code; its output is in $launcher_log" >&2
    code=1
  fi
  exit "$code"
}

main "$@"
