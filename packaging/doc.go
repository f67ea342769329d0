// Package packaging holds what Carga's packages are made of: systemd units, users,
// device rules, the scripts of the Debian packages, and their descriptions for
// nfpm. .ci/release builds them. There is no code here but tests, and the command
// sbom.
package packaging
