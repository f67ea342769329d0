#!/bin/sh
# prerm: a removed program is stopped in good order. An upgrade leaves it running.
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
  systemctl disable --now "$DPKG_MAINTSCRIPT_PACKAGE"
fi
