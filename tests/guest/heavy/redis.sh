# needs: redis-server
# A server on loopback and on a socket of its own, its benchmark with and without threads, and a child that saves.
cd /tmp
rm -f redis.log dump.rdb
PORT=$((20000 + $$ % 20000))
redis-server --bind 127.0.0.1 --port $PORT --io-threads 2 --unixsocket /tmp/redis.sock --daemonize yes --save '' --logfile /tmp/redis.log > /dev/null
for i in 1 2 3 4 5 6 7 8 9 10; do redis-cli -s /tmp/redis.sock ping > /dev/null 2>&1 && break; sleep 1; done
redis-cli -s /tmp/redis.sock set a 5
redis-cli -s /tmp/redis.sock incr a
redis-benchmark -s /tmp/redis.sock -n 2000 -q -t set,get,lpush 2>&1 | tr '\r' '\n' | grep -c 'requests per second, '
redis-benchmark -h 127.0.0.1 -p $PORT -n 2000 -q -P 8 --threads 2 -t incr,sadd,hset 2>&1 | tr '\r' '\n' | grep -c 'requests per second, '
redis-cli -h 127.0.0.1 -p $PORT get counter:__rand_int__
redis-cli -s /tmp/redis.sock bgsave
sleep 3
grep -c 'Background saving terminated with success' /tmp/redis.log
redis-cli -s /tmp/redis.sock shutdown nosave
