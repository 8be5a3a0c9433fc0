# needs: postgresql
# A server on loopback: initdb, queries, and its own benchmark by several clients.
set -e
cat > /tmp/pg.sh <<'X'
set -e
P=/usr/lib/postgresql/15/bin
PORT=$((20000 + $$ % 20000))
rm -rf /tmp/pg && mkdir -p /tmp/pg && cd /tmp/pg
$P/initdb -D /tmp/pg/d -A trust > init.log 2>&1
$P/pg_ctl -D /tmp/pg/d -o "-c listen_addresses=127.0.0.1 -c port=$PORT -c unix_socket_directories=/tmp/pg" -l log -w -t 300 start > /dev/null
export PGHOST=127.0.0.1 PGPORT=$PORT
$P/psql -qAt postgres -c 'create table a as select generate_series(1, 1000) x' -c 'select sum(x) from a'
$P/pgbench -i -s 1 -q postgres > bench.log 2>&1
$P/pgbench -c 4 -j 2 -t 50 postgres 2>&1 | grep -e 'actually processed' -e 'failed transactions'
$P/pgbench -n -S -M prepared -c 4 -j 4 -t 200 postgres 2>&1 | grep 'actually processed'
$P/psql -qAt postgres -c 'select (select sum(abalance) from pgbench_accounts) = (select sum(bbalance) from pgbench_branches)'
PGHOST=/tmp/pg $P/psql -qAt postgres -c 'select count(*) from pgbench_history'
$P/pg_ctl -D /tmp/pg/d -m fast -w stop > /dev/null
X
su postgres -s /bin/sh -c 'sh /tmp/pg.sh'
