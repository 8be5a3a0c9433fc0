// Closures, maps, typed arrays, strings and regular expressions, JSON.
let x = 1;
const next = () => (x = (Math.imul(x, 1103515245) + 12345) & 0x7fffffff);
const map = new Map();
for (let i = 0; i < 200000; i++) { const k = "k" + (next() % 5000); map.set(k, (map.get(k) || 0) + i); }
const a = new Float64Array(200000).map((_, i) => Math.sin(i) * next());
a.sort();
const text = Array.from({ length: 20000 }, (_, i) => `word${next() % 100} ${i}`).join("\n");
const hits = text.match(/word(\d)\1? \d+7$/gm).length;
const back = JSON.parse(JSON.stringify([...map].slice(0, 3000))).reduce((s, [k, v]) => s + k.length + v, 0);
const fib = (n) => (n < 2 ? n : fib(n - 1) + fib(n - 2));
console.log(map.size, a[1000] <= a[1001], hits, back, fib(27));
