#!/usr/bin/env bash
# Installs what is missing to run Winnow on Linux: Deno, a Vulkan loader and, where no Vulkan driver is present, Mesa's
# drivers with lavapipe (Vulkan on the CPU). With --peers also the Python packages that the tests compare with, and
# SwiftShader, another Vulkan on the CPU.
# Does nothing, quickly, where all is there. An installed GPU driver is never touched.
set -euo pipefail
cd "$(dirname "$0")/.."

DENO_VERSION=2.9.6
TOOLS="$PWD/.cache/tools"
export PATH="$TOOLS/bin:$PATH"

say() { printf 'setup: %s\n' "$*" >&2; }
stop() { # what is missing, what to do
  printf 'error: %s\n  remedy: %s\n' "$1" "$2" >&2
  exit 1
}

# Debian packages, where this user may install them.
apt_install() {
  if [ "$(id -u)" != 0 ]; then stop "not root, cannot install: $*" "Run as root: apt-get install $*"; fi
  if ! command -v apt-get >/dev/null; then stop "no apt-get here, cannot install: $*" "Install what these Debian packages hold."; fi
  say "installing $*"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >&2
  apt-get install -y -qq --no-install-recommends "$@" >&2
}

has_deno() { command -v deno >/dev/null && [ "$(deno --version 2>/dev/null | awk 'NR == 1 { print $2 }')" = "$DENO_VERSION" ]; }

# npm's package brings the native binary and a launcher in JavaScript, which would swallow signals: Ctrl-C has to reach
# Deno itself, so the command is linked to the binary.
link_deno() { # package folder, folder for the command
  node "$1/install.cjs" >&2
  mkdir -p "$2"
  ln -sfn "$1/deno" "$2/deno"
}

install_deno() {
  if has_deno; then return; fi
  if ! command -v npm >/dev/null || ! command -v node >/dev/null; then
    stop "Deno $DENO_VERSION is missing, and npm to install it" "Run as root: apt-get install npm, or install Deno $DENO_VERSION yourself."
  fi
  local prefix
  prefix=$(npm prefix --global 2>/dev/null)
  if ! command -v deno >/dev/null && [ -w "$prefix/bin" ]; then
    say "installing Deno $DENO_VERSION in $prefix"
    npm install --global --no-audit --no-fund "deno@$DENO_VERSION" >&2
    link_deno "$(npm root --global 2>/dev/null)/deno" "$prefix/bin"
  else
    say "installing Deno $DENO_VERSION in .cache/tools, beside what this machine has"
    npm install --prefix "$TOOLS" --no-audit --no-fund "deno@$DENO_VERSION" >&2
    link_deno "$TOOLS/node_modules/deno" "$TOOLS/bin"
  fi
  hash -r
  if ! has_deno; then stop "Deno $DENO_VERSION does not start after its installation" "Run: deno --version"; fi
}

has_vulkan_loader() { compgen -G '/usr/lib*/libvulkan.so.1' >/dev/null || compgen -G '/usr/lib/*/libvulkan.so.1' >/dev/null || /sbin/ldconfig -p 2>/dev/null | grep -q 'libvulkan\.so\.1'; }

# A driver announces itself by a JSON file ("installable client driver").
has_vulkan_driver() {
  [ -n "${VK_DRIVER_FILES:-}${VK_ICD_FILENAMES:-}" ] ||
    compgen -G '/usr/share/vulkan/icd.d/*.json' >/dev/null ||
    compgen -G '/usr/local/share/vulkan/icd.d/*.json' >/dev/null ||
    compgen -G '/etc/vulkan/icd.d/*.json' >/dev/null
}

install_vulkan() {
  local missing=()
  has_vulkan_loader || missing+=(libvulkan1)
  if ! has_vulkan_driver; then
    if [ -e /dev/nvidia0 ]; then
      say "an NVIDIA GPU is here but its Vulkan driver is not; in a container set NVIDIA_DRIVER_CAPABILITIES=all. The CPU serves until then."
    fi
    missing+=(mesa-vulkan-drivers)
  fi
  if [ ${#missing[@]} -gt 0 ]; then apt_install "${missing[@]}"; fi
}

# A virtual environment with the Python packages that tests compare with.
install_venv() { # folder, file of requirements, options of pip...
  local venv=$1 requirements=$2
  shift 2
  if cmp -s "$requirements" "$venv/installed.txt"; then return; fi
  if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then apt_install python3 python3-venv; fi
  say "installing the Python packages of $requirements in $venv"
  python3 -m venv "$venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check "$@" -r "$requirements" >&2
  cp "$requirements" "$venv/installed.txt"
}

# Unless WINNOW_PYTHON and WINNOW_MLFLOW_PYTHON name others.
install_peers() {
  [ -n "${WINNOW_PYTHON:-}" ] || install_venv .venv tests/peers/requirements.txt
  [ -n "${WINNOW_MLFLOW_PYTHON:-}" ] || install_venv .venv-mlflow tests/peers/requirements-mlflow.txt --no-deps
}

# A second Vulkan driver for the CPU, two files of Debian's chromium-common: without it one test says that it was skipped.
install_swiftshader() {
  local folder=.cache/tools/swiftshader work
  if [ -n "${WINNOW_SWIFTSHADER:-}" ] || [ -e /usr/lib/chromium/vk_swiftshader_icd.json ] || [ -e "$folder/vk_swiftshader_icd.json" ]; then return; fi
  work=$(mktemp -d)
  say "fetching SwiftShader into $folder"
  if (cd "$work" && { apt-get download -qq chromium-common || { apt-get update -qq && apt-get download -qq chromium-common; }; } &&
    dpkg-deb --extract ./*.deb .) >&2 &&
    mkdir -p "$folder" && cp "$work"/usr/lib/chromium/libvk_swiftshader.so "$work"/usr/lib/chromium/vk_swiftshader_icd.json "$folder"; then
    :
  else
    say "there is no chromium-common to fetch: the tests do without SwiftShader"
  fi
  rm -rf "$work"
}

if [ "$(uname -s)" != Linux ]; then stop "this script knows Linux only" "Install Deno $DENO_VERSION and a Vulkan driver yourself."; fi
install_deno
install_vulkan
if [ "${1:-}" = --peers ]; then
  install_peers
  install_swiftshader
fi
