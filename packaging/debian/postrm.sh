#!/bin/sh
# postrm: journals and databases stay until purge. The user stays: files elsewhere
# may belong to it.
set -e
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
fi
if [ "$1" = purge ]; then
  rm -rf "/var/lib/$DPKG_MAINTSCRIPT_PACKAGE"
fi
