# needs: openjdk-17-jdk-headless
set -e
cd "$(mktemp -d)"
cat > T.java <<'X'
import java.util.*;
import java.util.concurrent.*;

public class T {
    static int fib(int n) { return n < 2 ? n : fib(n - 1) + fib(n - 2); }
    static int deep(int n) { return deep(n + 1) + 1; }

    public static void main(String[] args) throws Exception {
        ExecutorService pool = Executors.newFixedThreadPool(4);
        List<Future<Integer>> all = new ArrayList<>();
        for (int i = 0; i < 8; i++) { final int k = i; all.add(pool.submit(() -> fib(20 + k % 4))); }
        int sum = 0;
        for (Future<Integer> f : all) sum += f.get();
        System.out.println(sum);
        pool.shutdown();
        try { Object o = null; o.hashCode(); } catch (NullPointerException e) { System.out.println("null pointer"); }
        try { deep(0); } catch (StackOverflowError e) { System.out.println("stack overflow"); }
        List<byte[]> junk = new ArrayList<>();
        for (int i = 0; i < 2000; i++) { junk.add(new byte[100000]); if (junk.size() > 50) junk.clear(); }
        System.gc();
        System.out.println("collected");
    }
}
X
cat > B.java <<'X'
import java.util.concurrent.*;
import java.util.concurrent.atomic.*;
import java.util.concurrent.locks.*;
import java.util.stream.*;

// A benchmark on all threads: each part is run until it is compiled, and has the same result each time.
public class B {
    static long locked = 0;

    static long part(int which) throws Exception {
        switch (which) {
            case 0: // fork and join
                return LongStream.rangeClosed(1, 200_000).parallel().map(x -> x * x % 7919).sum();
            case 1: { // a shared map
                ConcurrentHashMap<Integer, LongAdder> map = new ConcurrentHashMap<>();
                IntStream.range(0, 50_000).parallel().forEach(i -> map.computeIfAbsent(i % 97, k -> new LongAdder()).add(i));
                return map.values().stream().mapToLong(LongAdder::sum).sum();
            }
            case 2: { // monitors and locks
                locked = 0;
                Object monitor = new Object();
                ReentrantLock lock = new ReentrantLock();
                AtomicLong atomic = new AtomicLong();
                Thread[] threads = new Thread[4];
                for (int t = 0; t < threads.length; t++) {
                    threads[t] = new Thread(() -> {
                        for (int i = 0; i < 5_000; i++) {
                            synchronized (monitor) { locked++; }
                            lock.lock();
                            try { atomic.set(atomic.get() + 1); } finally { lock.unlock(); }
                        }
                    });
                    threads[t].start();
                }
                for (Thread t : threads) t.join();
                return locked * 1_000_000 + atomic.get();
            }
            case 3: { // handing over
                SynchronousQueue<Integer> queue = new SynchronousQueue<>();
                Thread giver = new Thread(() -> { try { for (int i = 0; i < 2_000; i++) queue.put(i); } catch (InterruptedException e) { } });
                giver.start();
                long sum = 0;
                for (int i = 0; i < 2_000; i++) sum += queue.take();
                giver.join();
                return sum;
            }
            default: { // rubbish of many threads
                return IntStream.range(0, 400).parallel().mapToLong(i -> {
                    long n = 0;
                    for (int k = 0; k < 50; k++) n += new StringBuilder("x".repeat(k)).append(new int[1000].length).length();
                    return n;
                }).sum();
            }
        }
    }

    public static void main(String[] args) throws Exception {
        for (int which = 0; which < 5; which++) {
            long first = part(which);
            for (int i = 0; i < 20; i++)
                if (part(which) != first) throw new AssertionError("part " + which);
            System.out.println(which + " " + first);
        }
    }
}
X
P=/usr/lib/jvm/java-17-openjdk-arm64/bin
$P/java -version 2>&1 | cut -d' ' -f1 | head -1
$P/javac T.java B.java
$P/java T
$P/java -XX:ActiveProcessorCount=4 B
# Other collectors, and one thread's code at a time by the interpreter alone.
$P/java -XX:ActiveProcessorCount=4 -XX:+UseParallelGC B | cksum
$P/java -Xint T | tail -n 1
