# A repository in a folder, and 20 packages with maintainer scripts from it.
# needs:
set -e
export DEBIAN_FRONTEND=noninteractive
P="bsdextrautils ca-certificates cron dbus dialog iproute2 less libcap2-bin locales logrotate man-db nano netbase openssl
   procps psmisc rsyslog sudo tzdata ucf vim-tiny"
apt-get -q -y purge $P > /dev/null 2>&1 || true
rm -rf /repository && mkdir /repository && cd /repository
apt-get -q -y --download-only --no-install-recommends install $P > /dev/null
mv /var/cache/apt/archives/*.deb .
for f in *.deb; do
    dpkg-deb -f "$f"
    printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$f" "$(stat -c %s "$f")" "$(sha256sum "$f" | cut -d' ' -f1)"
done > Packages
echo 'deb [trusted=yes] file:/repository ./' > /repository.list
# Lists of its own: those of the archive stay.
mkdir -p /repository.lists/partial
O='-o Dir::Etc::sourcelist=/repository.list -o Dir::Etc::sourceparts=- -o Dir::State::lists=/repository.lists'
apt-get $O -q update > /dev/null
apt-get $O -q -y --no-install-recommends install $P > /tmp/apt.log 2>&1 || { cat /tmp/apt.log; exit 1; }
set -- $P
echo "$# wanted, $(dpkg-query -W -f '${db:Status-Abbrev}\n' $P | grep -c ii) installed"
dpkg --audit
getent services http > /dev/null && echo services
getent group messagebus > /dev/null && echo group
[ "$(stat -c %U:%G:%a /usr/bin/sudo)" = root:root:4755 ] && echo sudo
dpkg --verify sudo cron less && echo verified
