# needs: gcc g++ libc6-dev make
set -e
cd "$(mktemp -d)"
cat > a.c <<'X'
#include <math.h>
#include <stdio.h>
int main(void) { printf("c %f\n", sqrt(2.0)); return 0; }
X
cat > b.cc <<'X'
#include <iostream>
#include <stdexcept>
#include <thread>
#include <vector>
int main() {
    std::vector<std::thread> threads;
    int sum = 0;
    for (int i = 0; i < 4; i++) threads.emplace_back([&] { __sync_fetch_and_add(&sum, 1); });
    for (auto &t : threads) t.join();
    try {
        throw std::runtime_error("caught");
    } catch (std::exception &e) {
        std::cout << "c++ " << sum << ' ' << e.what() << std::endl;
    }
}
X
printf 'all: a b\na: a.c\n\t$(CC) -O2 $< -o $@ -lm\nb: b.cc\n\t$(CXX) -O2 $< -o $@\n' > Makefile
make -s -j2
./a
./b
ldconfig -p | grep -c libc.so.6
