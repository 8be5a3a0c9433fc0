# needs: golang-go
set -e
rm -rf /tmp/gomodule /tmp/gocache && mkdir /tmp/gomodule && cd /tmp/gomodule
printf 'module example.com/m\ngo 1.19\n' > go.mod
cat > m.go <<'X'
package main

import (
	"fmt"
	"sync"
	"time"
)

func Fib(n int) int {
	if n < 2 {
		return n
	}
	return Fib(n-1) + Fib(n-2)
}

func main() {
	var wg sync.WaitGroup
	s := make([]int, 8)
	for i := range s {
		wg.Add(1)
		go func(i int) { defer wg.Done(); s[i] = Fib(20 + i%3) }(i)
	}
	wg.Wait()
	<-time.NewTimer(time.Millisecond).C
	fmt.Println(s)
}
X
printf 'package main\nimport "testing"\nfunc TestFib(t *testing.T) { if Fib(10) != 55 { t.Fatal() } }\n' > m_test.go
export HOME=/tmp GOCACHE=/tmp/gocache GOFLAGS=-p=2
go build -o m .
./m
go test ./... | cut -f1,2
