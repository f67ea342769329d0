#!/bin/sh
# postinst of carga-agent, carga-bridge and carga-central. Nothing is enabled or
# started unasked: a charging point without its wiring must not run.
set -e
package=$DPKG_MAINTSCRIPT_PACKAGE
if [ "$1" = configure ]; then
  if command -v systemd-sysusers >/dev/null; then
    systemd-sysusers "$package.conf"
  else
    echo "$package: no systemd here: make the user $package yourself" >&2
  fi
  if [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    if [ "$package" = carga-agent ] && command -v udevadm >/dev/null; then
      udevadm control --reload || true # a container has no udev
    fi
    if [ -n "$2" ] && systemctl -q is-active "$package"; then
      if [ "$package" = carga-agent ]; then
        # A restart opens the contactors. When, is the operator's decision.
        echo 'carga-agent: the version before still runs. Between two sessions: systemctl restart carga-agent'
      else
        systemctl restart "$package"
      fi
    fi
  fi
  if [ -z "$2" ]; then
    echo "$package is installed and not started: edit /etc/carga/${package#carga-}.yaml, then systemctl enable --now $package"
  fi
fi
