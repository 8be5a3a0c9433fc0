# needs: python3 libpython3.11-testsuite netbase
python3 -m test -W test_socket > /tmp/test_socket.log 2>&1 || cat /tmp/test_socket.log >&2
grep '^Tests\? result' /tmp/test_socket.log
