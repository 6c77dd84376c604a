# The first process of a node: all that runs in its namespaces ends with it, and its mounts go with the last of them.
# Its folder is its argument, and holds `parts`: a line for each, its name and how it is called.
set -u
cd "$1"
export PATH=$PWD/bin:$PATH:/usr/sbin:/sbin
mount --make-rshared /
# What the parts leave outside of the folder.
for at in /run /var/log /var/lib; do
  mount -t tmpfs tmpfs "$at"
done

# A bridge is the machine's only device, and every way ends there.
ip link set lo up
ip link add node type bridge
ip addr add 10.250.0.1/24 dev node
ip link set node up
ip route add default dev node
echo 1 >/proc/sys/net/ipv4/ip_forward

keep() { # keep NAME PROGRAM…: runs it, and again whenever it ends
  local name=$1; shift
  while :; do
    "$@" >>"$name.log" 2>&1
    echo "$name has ended: $?" >>parts.log
    sleep 0.3
  done
}
while read -r name call; do
  # shellcheck disable=SC2086 # no word of a call holds a blank
  keep "$name" $call &
done <parts
wait
