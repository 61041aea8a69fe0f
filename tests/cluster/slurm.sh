#!/usr/bin/env bash
# A real Slurm of one node out of nothing, and away with it again:  slurm.sh up | down FOLDER
#
# For tests, as root, on Debian 12: munge, MariaDB, slurmdbd (without accounting a job that died is waited for for ever),
# slurmctld and slurmd, all on the loopback interface, with their state, logs and process numbers in FOLDER. `down` ends
# the processes that `up` started, and no others. Exit code 77: the packages cannot be had. SLOTS (4): processors that the node says it has, whatever it has.
set -euo pipefail

begin() {  # begin NAME COMMAND...: a daemon in a session of its own
    local name=$1
    shift
    setsid "$@" >"$folder/log/$name" 2>&1 </dev/null &
    echo $! >"$folder/pid/$name"
}

await() {  # await SECONDS COMMAND...: until it succeeds
    local tries=$(($1 * 10))
    shift
    until "$@" >/dev/null 2>&1; do
        ((tries-- > 0)) || { echo "waited in vain for: $*" >&2; return 1; }
        sleep 0.1
    done
}

install_packages() {
    command -v slurmctld slurmd slurmdbd munged mariadbd >/dev/null && return
    apt-get update
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        slurmctld slurmd slurm-client slurmdbd munge mariadb-server
}

begin_munge() {
    local key=/etc/munge/munge.key
    mkdir -p /etc/munge
    [ -s $key ] || dd if=/dev/urandom of=$key bs=1024 count=1 status=none
    chown -R munge:munge /etc/munge
    chmod 700 /etc/munge
    chmod 400 $key
    install -d -o munge -g munge -m 755 /run/munge
    install -d -o munge -g munge -m 700 /var/log/munge /var/lib/munge
    begin munged setpriv --reuid=munge --regid=munge --clear-groups munged --foreground --force
    await 10 bash -c 'munge -n | unmunge'
}

begin_accounting() {
    install -d -o mysql -g mysql -m 750 "$folder/mysql"
    mariadb-install-db --user=mysql --datadir="$folder/mysql" --auth-root-authentication-method=normal \
        --skip-test-db >"$folder/log/mariadb-install-db" 2>&1
    begin mariadbd mariadbd --no-defaults --user=mysql --datadir="$folder/mysql" --socket="$folder/mysql/socket" \
        --pid-file="$folder/mysql/pid" --bind-address=127.0.0.1 --port=33061 --skip-grant-tables --skip-log-bin \
        --innodb-buffer-pool-size=64M --innodb-lock-wait-timeout=900
    await 60 mariadb-admin --no-defaults --protocol=tcp -h127.0.0.1 -P33061 ping
    cat >/etc/slurm/slurmdbd.conf <<END
AuthType=auth/munge
DbdHost=localhost
SlurmUser=root
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=33061
StorageUser=root
StoragePass=none
StorageLoc=slurm_acct_db
LogFile=$folder/log/slurmdbd.log
PidFile=$folder/spool/slurmdbd.pid
END
    chmod 600 /etc/slurm/slurmdbd.conf
    begin slurmdbd slurmdbd -D
    await 60 bash -c 'exec 3<>/dev/tcp/127.0.0.1/6819'
}

begin_slurm() {
    local node
    node=$(hostname -s)
    getent hosts "$node" >/dev/null || echo "127.0.0.1 $node" >>/etc/hosts
    cat >/etc/slurm/slurm.conf <<END
ClusterName=test
SlurmctldHost=$node(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=cred_expire=5
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0
SlurmdParameters=config_overrides
ReturnToService=2
JobRequeue=1
KillWait=5
MaxArraySize=10001
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/spool/slurmctld.pid
SlurmdPidFile=$folder/spool/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
NodeName=$node NodeAddr=127.0.0.1 CPUs=$slots CoresPerSocket=$slots RealMemory=8000 State=UNKNOWN
PartitionName=main Nodes=$node Default=YES MaxTime=1-0 State=UP OverSubscribe=NO
END
    begin slurmctld slurmctld -D
    await 60 bash -c 'scontrol ping | grep -q UP'
    begin slurmd slurmd -D
    await 60 bash -c 'sinfo -h -o %T | grep -qx idle'
    await 60 bash -c 'sacctmgr -n show cluster | grep -q test'
    srun -n1 true
}

end_all() {
    scancel --user="$(id -un)" 2>/dev/null || true
    for name in slurmd slurmctld slurmdbd mariadbd munged; do
        [ -f "$folder/pid/$name" ] || continue
        pid=$(cat "$folder/pid/$name")
        rm "$folder/pid/$name"
        kill "$pid" 2>/dev/null || continue
        await 10 bash -c "! kill -0 $pid" || kill -9 "$pid"
    done
}

command=${1:-} folder=${2:-} slots=${SLOTS:-4}
[ -n "$folder" ] || { echo "usage: slurm.sh up|down FOLDER" >&2; exit 2; }
case $command in
    up)
        mkdir -p "$folder"/{state,spool,log,pid}
        chmod 755 "$folder"
        (install_packages) >"$folder/log/apt" 2>&1 || { echo "Slurm's packages cannot be installed" >&2; exit 77; }
        begin_munge
        begin_accounting
        begin_slurm
        ;;
    down) end_all ;;
    *) echo "usage: slurm.sh up|down FOLDER" >&2; exit 2 ;;
esac
