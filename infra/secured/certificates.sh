#!/usr/bin/env bash
# Throwaway certificates for servers on loopback: an authority, a server's and a client's certificate, and an authority that
# signed nothing. Keys are without a passphrase and good for ten days.
#
#   infra/secured/certificates.sh DIRECTORY
set -euo pipefail
cd "$1"

authority() { # name
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 10 -subj "/CN=$1" -keyout "$1-key.pem" -out "$1.pem" \
    -addext basicConstraints=critical,CA:true -addext keyUsage=critical,keyCertSign,cRLSign
}

certificate() { # name, usage, names
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout "$1-key.pem" -out "$1.csr"
  openssl x509 -req -in "$1.csr" -CA authority.pem -CAkey authority-key.pem -CAcreateserial -days 10 -out "$1.pem" \
    -extfile <(printf 'extendedKeyUsage=%s\nsubjectAltName=%s\n' "$2" "$3")
  cat "$1-key.pem" "$1.pem" authority.pem >"$1-all.pem"
}

{
  authority authority
  authority stranger
  certificate server serverAuth,clientAuth IP:127.0.0.1,DNS:localhost
  certificate client clientAuth DNS:tidefold
} 2>certificates.log || { cat certificates.log >&2; exit 1; }
chmod 600 ./*-key.pem ./*-all.pem
