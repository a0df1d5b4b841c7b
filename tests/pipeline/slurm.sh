#!/bin/sh
# A Slurm of one host for tests:  slurm.sh start FOLDER [MINUTES]   |   slurm.sh stop FOLDER
# Needs root, slurmctld, slurmd and munge, and a host without a Slurm of its own: /etc/slurm/slurm.conf becomes a
# link to the one in FOLDER (jobs lose SLURM_CONF on their way) until it is stopped.
# MINUTES is the time limit of the partition's jobs.
set -eu
action=$1 folder=$2 minutes=${3:-600}

start() {
    if [ -e /etc/slurm/slurm.conf ]; then
        echo "slurm.sh: /etc/slurm/slurm.conf is there: this host has a Slurm of its own, or one was not stopped" >&2
        return 1
    fi
    mkdir -p "$folder/state" "$folder/spool" "$folder/munge"
    chmod 755 "$folder" "$folder/munge"
    [ -e "$folder/munge.key" ] || { head -c 1024 /dev/urandom >"$folder/munge.key"; chmod 400 "$folder/munge.key"; }
    munged --force --key-file="$folder/munge.key" --socket="$folder/munge/socket" --pid-file="$folder/munged.pid" \
        --log-file="$folder/munged.log" --seed-file="$folder/munged.seed"
    cores=$(nproc)
    cat >"$folder/slurm.conf" <<CONF
ClusterName=test
SlurmctldHost=$(hostname -s)(127.0.0.1)
SlurmUser=root
SlurmctldPort=$((20000 + $$ % 20000))
SlurmdPort=$((20001 + $$ % 20000))
AuthType=auth/munge
# A job that was put back waits as long as credentials live, two minutes unless told otherwise.
AuthInfo=socket=$folder/munge/socket,cred_expire=10
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
GresTypes=gpu
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
KillWait=20
MinJobAge=600
ReturnToService=2
SchedulerParameters=sched_min_interval=200000,sched_interval=3,bf_interval=3
NodeName=$(hostname -s) NodeAddr=127.0.0.1 CPUs=$cores RealMemory=1000 Gres=gpu:1 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES PriorityTier=1 MaxTime=$minutes DefaultTime=$minutes State=UP
PartitionName=urgent Nodes=ALL PriorityTier=10 PreemptMode=OFF State=UP
CONF
    # A device that any program may open stands for the GPU: Slurm counts it, nothing computes on it.
    echo "Name=gpu File=/dev/null" >"$folder/gres.conf"
    # Cgroups limit nothing here. Older slurmd want a plugin all the same.
    [ -d /sys/fs/cgroup/freezer ] && plugin=cgroup/v1 || plugin=disabled
    echo "CgroupPlugin=$plugin" >"$folder/cgroup.conf"
    mkdir -p /etc/slurm
    for name in slurm gres cgroup; do ln -sf "$folder/$name.conf" "/etc/slurm/$name.conf"; done
    slurmctld -c
    slurmd
    for _ in $(seq 60); do
        [ "$(sinfo --noheader --partition=main --format=%t 2>/dev/null)" = idle ] && return
        sleep 0.5
    done
    echo "slurm.sh: the node did not come up; see $folder/slurmctld.log and $folder/slurmd.log" >&2
    return 1
}

stop() {
    scancel --user="$(id -un)" 2>/dev/null || true
    for name in slurmd slurmctld munged; do
        [ -e "$folder/$name.pid" ] && kill "$(cat "$folder/$name.pid")" 2>/dev/null || true
    done
    for name in slurm gres cgroup; do
        [ "$(readlink "/etc/slurm/$name.conf")" = "$folder/$name.conf" ] && rm "/etc/slurm/$name.conf"
    done
    true
}

"$action"
