#!/bin/sh
# prepare.sh UID GID: gives the named volumes to the user that the other containers run as, and lets
# that user write into /runs, which belongs to whoever cloned the project.
set -eu
uid=$1 gid=$2
for volume in /volumes/*; do
  [ "$(stat -c %u:%g "$volume")" = "$uid:$gid" ] && continue
  # The volume itself last: where this is cut short, it is done again.
  find "$volume" -mindepth 1 -exec chown -h "$uid:$gid" {} +
  chown "$uid:$gid" "$volume"
done
owner=$(stat -c %u /runs) mode=$(stat -c %a /runs)
if [ "$owner" = "$uid" ]; then
  exit 0
fi
case $mode in
  *[2367]) exit 0 ;; # everybody may write
esac
if ! chmod 1777 /runs 2>/dev/null; then
  echo "error: user $uid cannot write into runs/, which belongs to user $owner, and that cannot be" \
    "changed. Let user $uid write there, or name another folder: EARSHOT_RUNS=FOLDER" >&2
  exit 1
fi
echo "runs/ belongs to user $owner, so everybody was let write into it (chmod 1777). To have your own" \
  "files there instead: EARSHOT_UID=\$(id -u) EARSHOT_GID=\$(id -g) docker compose up"
