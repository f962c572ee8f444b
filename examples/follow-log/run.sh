#!/usr/bin/env bash
# A log file is followed and published line by line, and read by two subscribers. The second one is stopped, and
# goes on later where it was: it misses nothing and gets nothing twice.
#
#   examples/follow-log/run.sh [FILE]
#
# Without a FILE it follows one of its own, to which it appends the machine's load twice a second. It ends by itself
# after about twelve seconds.
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo build --release --quiet -p tidings
tidings=target/release/tidings
work=$(mktemp -d)
# Each background job is a process group of its own, and ends as a whole.
set -m
clean_up() {
  for job in $(jobs -p); do kill -- "-$job" 2>/dev/null || true; done
  wait 2>/dev/null || true
  rm -rf "$work"
}
trap clean_up EXIT

file=${1:-$work/app.log}
if [ $# -eq 0 ]; then
  touch "$file"
  (while sleep 0.5; do echo "$(date +%T.%N) load $(cat /proc/loadavg)"; done >>"$file") &
  fi

# The hub picks a free port, and says which on its first line.
mkfifo "$work/announcement"
"$tidings" serve --listen 127.0.0.1:0 --log "disk:$work/data" --log-level warn >"$work/announcement" &
read -r line <"$work/announcement"
export TIDINGS_URL=${line##* }
echo "hub: $TIDINGS_URL"

tail -n 0 -F "$file" 2>/dev/null | "$tidings" publish logs/app --lines >/dev/null &

"$tidings" subscribe logs/app --since earliest 2>/dev/null | sed -u 's/^/first:  /' &

# The second subscriber keeps what it got, each line with its id, and stops after four events.
read_some() { # COUNT [--since PLACE]
  local count=$1; shift
  "$tidings" subscribe logs/app --json "$@" 2>/dev/null | head -n "$count" | tee -a "$work/second"
}
read_some 4 --since earliest | sed -u 's/^/second: /'
last=$(tail -n 1 "$work/second" | sed 's/.*"id":"\([^"]*\)".*/\1/')
echo "------- the second subscriber is gone; the last that it saw is $last"
sleep 3
echo "------- it comes back"
read_some 8 --since "$last" | sed -u 's/^/second: /'

"$tidings" subscribe logs/app --json --since earliest 2>/dev/null | head -n 12 >"$work/all"
if cmp -s "$work/second" "$work/all"; then
  echo "------- the second subscriber has the first twelve events, each once and in order"
else
  echo "------- the second subscriber's events are not the first twelve" >&2
  diff "$work/all" "$work/second" >&2
  exit 1
fi
