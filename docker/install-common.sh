# Installs what both images need into /opt/venv: as locked, or torch from another index.
set -eu
install="/opt/uv/bin/uv pip install --python /opt/venv/bin/python"
lock=/build/requirements.lock
if [ -z "$TORCH_INDEX" ]; then
  $install --require-hashes -r $lock
  exit
fi
# Another index has other files of the same versions, and no CUDA: their hashes are not in the lock.
torch=$(sed -n 's/^\(torch\|torchaudio\)==\([^ ]*\).*/\1==\2/p' $lock)
awk '/^[A-Za-z]/ { left = /^(torch|torchaudio|triton|nvidia-[a-z0-9-]*|cuda-[a-z0-9-]*)==/ } !left' \
  $lock > /build/plain.lock
$install --require-hashes -r /build/plain.lock
$install --no-deps --index-url "$TORCH_INDEX" $torch
