# needs: python3 libpython3.11-testsuite netbase
python3 -m test test_threading 2>&1 | grep '^Tests\? result' | sed 's/^Tests /Tests /'
