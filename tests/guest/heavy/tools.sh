# needs: perl git openssh-client tar bubblewrap
set -e
cd "$(mktemp -d)"
perl -e 'print join(",", map { $_ * 2 } 1 .. 5), "\n"; print `echo child`; $SIG{ALRM} = sub { print "alarm\n"; exit }; alarm 1; sleep 9'
git init -q r
(cd r && git config user.email a@b && git config user.name n && echo text > f && git add f && git commit -qm m && git gc -q)
git clone -q "file://$PWD/r" r2
cat r2/f
tar czf x.tgz r2
tar tzf x.tgz | grep -c '^r2/f$'
ssh-keygen -q -t ed25519 -N '' -f k
ssh-keygen -q -t rsa -b 2048 -N '' -f k2
ssh-keygen -lf k | cut -d' ' -f1
ssh-keygen -lf k2 | cut -d' ' -f1
ldconfig
bwrap --ro-bind / / --dev /dev --proc /proc --unshare-all --die-with-parent sh -c 'id -u; ls /proc | grep -c "^[0-9]"'
