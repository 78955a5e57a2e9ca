#!/bin/sh
# A host of its own (pids, mounts, network, name), two exporters in it, the pages of both.
#
#   unshare --mount --pid --fork --mount-proc --net --uts sandboxed.sh WHERE PYTHON RULES
#
# One exporter runs as the unit makes it: nobody, without a capability, no new privileges, no memory
# both writable and executable, every mount read-only, a /tmp of its own. The other runs plainly.
# RULES: "unit", or "container" for a network apart as well, and the host's / at another place.
# Nothing that is mounted here is seen outside.
set -eu
where=$1 python=$2 rules=$3
fetch='import sys, urllib.request; sys.stdout.write(urllib.request.urlopen("http://127.0.0.1:9840/metrics", timeout=30).read().decode())'

hostname gnomon-test-host
ip link set lo up
mount --make-rshared /
mkdir -p "$where/data" "$where/readonly" "$where/tmp"
mount -t tmpfs -o size=8m,mode=755 gnomon-data "$where/data"
mount -t tmpfs -o size=4m,mode=755,ro gnomon-readonly "$where/readonly"
head -c 1000000 /dev/zero > "$where/data/million"
# So that the host's counters are not those of a network that was just made.
"$python" -c '
import socket
with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as client:
    client.sendall(b"x" * 100000)
'

# The interpreter may lie where nobody has no access, such as below root's home.
mkdir -p "$where/python"
mount --bind "$("$python" -c 'import sys; print(sys.base_prefix)')" "$where/python"
nobodys=$where/python/bin/$("$python" -c 'import os, sys; print(os.path.basename(os.path.realpath(sys.executable)))')
PYTHONPATH=$("$python" -c '
import os.path, sysconfig, gnomon_exporter
print(os.path.dirname(os.path.dirname(gnomon_exporter.__file__)), sysconfig.get_path("purelib"), sep=":")')
LD_LIBRARY_PATH=$where/python/lib  # of a Python that is built with its library apart
export PYTHONPATH LD_LIBRARY_PATH

await() { # await COMMAND...: until it succeeds
    for _ in $(seq 200); do "$@" 2>/dev/null && return; sleep 0.1; done
    echo "not ready: $*" >&2
    exit 1
}

"$python" -m gnomon_exporter --web.listen-address=127.0.0.1:9840 2> "$where/outside.log" &
outside=$!
await "$python" -c "$fetch" > "$where/outside.first"
"$python" -c "$fetch" > "$where/outside"
kill $outside
wait $outside || true

cat > "$where/inside.sh" <<S
set -eu
if [ "$rules" = container ]; then
    ip link set lo up
    mkdir -p "$where/host"
    mount --rbind / "$where/host"
    mount --make-rslave "$where/host"
    set -- --path.rootfs="$where/host"
else
    mount --bind "$where/tmp" /tmp
    set --
fi
awk '{print \$5}' /proc/self/mountinfo | while read -r point; do
    case \$point in /proc|/proc/*|"$where/host/proc"*) continue ;; esac
    mount -o remount,bind,ro "\$(printf %b "\$point")" 2>/dev/null || true
done
if touch "$where/data/written" 2>/dev/null; then echo "still writable" >&2; exit 1; fi
exec setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-all --inh-caps=-all \\
    --no-new-privs "$nobodys" -c '
import ctypes, os, sys
PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1
ctypes.CDLL(None).prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0)
os.execv(sys.argv[1], sys.argv[1:])' "$nobodys" -m gnomon_exporter "\$@" --web.listen-address=127.0.0.1:9840
S
apart=--mount
[ "$rules" = container ] && apart="--mount --net"
# shellcheck disable=SC2086  # two words
unshare $apart --propagation slave sh "$where/inside.sh" 2> "$where/inside.log" &
inside=$!
await nsenter --target $inside --mount --net "$python" -c "$fetch" > "$where/inside.first"
nsenter --target $inside --net "$python" -c "$fetch" > "$where/inside"
# Mounted once the exporter runs, and seen all the same.
mkdir -p "$where/later"
mount -t tmpfs -o size=2m gnomon-later "$where/later"
nsenter --target $inside --net "$python" -c "$fetch" > "$where/inside.later"
kill $inside
