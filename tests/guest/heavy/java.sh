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
P=/usr/lib/jvm/java-17-openjdk-arm64/bin
$P/java -version 2>&1 | cut -d' ' -f1 | head -1
$P/javac T.java
$P/java T
